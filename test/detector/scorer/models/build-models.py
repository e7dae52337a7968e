"""Builds the models that onnx-models.test.ts runs, as people export them.

    python3 -m venv venv
    venv/bin/pip install onnx==1.17.0 skl2onnx==1.18.0 scikit-learn==1.6.1 numpy==2.2.6 scipy==1.17.1 protobuf==5.29.3
    venv/bin/python build-models.py [DIRECTORY]

Each directory gets model.onnx, model.json, and expected.json: windows in the metrics' own units,
with the raw number and the score that they must have. Expected numbers come from scikit-learn and
numpy in double precision, not from the ONNX file: what is compared is the whole way.

Seeded: with these versions on one machine, the same bytes every time.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

ROOT = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
OPSET = {"": 15, "ai.onnx.ml": 3}


def machine(rng, count):
    """Six metrics of a compressor that follow its load and its speed."""
    load, speed = rng.random(count), rng.random(count)
    columns = [
        60 + 30 * load,
        5 + 2 * load * speed,
        1 + 3 * speed,
        2 + 10 * load + 2 * speed,
        20 + 8 * load,
        900 + 600 * speed,
    ]
    noise = np.array([0.8, 0.1, 0.1, 0.3, 0.4, 12])
    return np.stack(columns, axis=1) + noise * rng.standard_normal((count, 6))


METRICS = ["temperature", "pressure", "vibration", "current", "oil", "rpm"]


def scoring(raw, threshold, spread, direction):
    beyond = (raw - threshold if direction == "higher" else threshold - raw) / spread
    ratio = max(0.0, 1 + beyond)
    return ratio**2 / (ratio**2 + 0.25)


def write(name, model, sidecar, windows, raws):
    directory = ROOT / name
    directory.mkdir(parents=True, exist_ok=True)
    data = model.SerializeToString()
    (directory / "model.onnx").write_bytes(data)
    sidecar = {"version": "1", "sha256": hashlib.sha256(data).hexdigest(), **sidecar}
    (directory / "model.json").write_text(json.dumps(sidecar, indent=2) + "\n")
    threshold, direction = sidecar["threshold"], sidecar.get("direction", "higher")
    spread = sidecar.get("spread", abs(threshold) or 1)
    expected = [
        {
            "window": [[float(f"{v:.6g}") for v in row] for row in np.atleast_2d(window)],
            "raw": float(f"{raw:.7g}"),
            "score": float(f"{scoring(raw, threshold, spread, direction):.7g}"),
        }
        for window, raw in zip(windows, raws)
    ]
    text = ",\n".join(json.dumps(row) for row in expected)
    (directory / "expected.json").write_text(f"[\n{text}\n]\n")
    print(f"{name}: {len(data)} bytes, scores {[round(e['score'], 3) for e in expected]}")


def rounded(rows):
    """As expected.json holds them, so that both sides start from the same numbers."""
    return np.array([[float(f"{v:.6g}") for v in row] for row in rows])


def scaling(metrics, mean, std):
    return [
        {"metric": m, "mean": float(f"{a:.6g}"), "std": float(f"{s:.6g}")}
        for m, a, s in zip(metrics, mean, std)
    ]


def samples(rng, count=6):
    """Ordinary rows, then three in which something does not fit."""
    rows = machine(rng, count + 3)
    rows[count, 2] += 1.5
    rows[count + 1, 5] -= 400
    rows[count + 2, :2] += [25, 2]
    return rounded(rows)


def weights(values, name):
    return numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float32), name)


def graph(nodes, name, shape_in, outputs, constants):
    made = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape_in)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs],
        constants,
    )
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", OPSET[""])], producer_name="build-models"
    )
    model.ir_version = 8
    checker.check_model(model)
    return model


def dense_autoencoder():
    """6-16-2-16-6 with ReLU, scaled outside, the rebuilt rows as output: mean square error."""
    rng = np.random.default_rng(1)
    train = machine(rng, 3000)
    inputs = scaling(METRICS, train.mean(0), train.std(0))
    mean, std = (np.array([i[k] for i in inputs]) for k in ("mean", "std"))
    x = (train - mean) / std
    net = MLPRegressor((16, 2, 16), random_state=1, max_iter=400, tol=1e-6).fit(x, x)
    layers = [
        (w.astype(np.float32).astype(float), b.astype(np.float32).astype(float))
        for w, b in zip(net.coefs_, net.intercepts_)
    ]

    def rebuild(rows):
        for depth, (w, b) in enumerate(layers):
            rows = rows @ w + b
            if depth < len(layers) - 1:
                rows = np.maximum(rows, 0)
        return rows

    def errors(rows):
        scaled = (rows - mean) / std
        return ((rebuild(scaled) - scaled) ** 2).mean(1)

    nodes, constants, last = [], [], "x"
    for depth, (w, b) in enumerate(layers):
        out = "rebuilt" if depth == len(layers) - 1 else f"z{depth}"
        nodes.append(helper.make_node("Gemm", [last, f"w{depth}", f"b{depth}"], [out]))
        constants += [weights(w, f"w{depth}"), weights(b, f"b{depth}")]
        if out != "rebuilt":
            nodes.append(helper.make_node("Relu", [out], [f"h{depth}"]))
        last = f"h{depth}"
    model = graph(nodes, "dense", ["batch", 6], [("rebuilt", ["batch", 6])], constants)
    rows = samples(np.random.default_rng(11))
    threshold = float(f"{1.5 * np.quantile(errors(train), 0.999):.4g}")
    sidecar = {
        "input": "x",
        "inputs": inputs,
        "output": "rebuilt",
        "reduction": "mse",
        "threshold": threshold,
    }
    write("dense-autoencoder", model, sidecar, rows, errors(rows))


def lstm():
    """Forecasts the newest row from the 15 before it; a second output says whose the error is.

    A fixed random LSTM of 12 cells with a ridge readout (a reservoir), so that no training
    framework is needed; the graph is what exporters write: batch first, transposed inside.
    """
    rng = np.random.default_rng(2)
    cells, metrics, rows = 12, 3, 16
    W = 0.6 * rng.standard_normal((1, 4 * cells, metrics)).astype(np.float32)
    R = 0.3 * rng.standard_normal((1, 4 * cells, cells)).astype(np.float32)
    B = 0.1 * rng.standard_normal((1, 8 * cells)).astype(np.float32)

    def swing(rng, count, first):
        t = np.arange(first, first + count)[:, None]
        wave = np.sin(2 * np.pi * (t / 12 + np.array([0, 0.25, 0.4])))
        return [20, 3, 100] + [4, 0.5, 9] * (wave + 0.1 * rng.standard_normal((count, metrics)))

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    def hidden(windows):
        h = np.zeros((len(windows), cells))
        c = np.zeros_like(h)
        for step in range(rows - 1):
            gates = windows[:, step] @ W[0].T + h @ R[0].T + B[0, : 4 * cells] + B[0, 4 * cells :]
            i, o, f, g = np.split(gates.astype(float), 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        return h

    train = swing(rng, 3000, 0)
    inputs = scaling(["flow", "current", "pressure"], train.mean(0), train.std(0))
    mean, std = (np.array([i[k] for i in inputs]) for k in ("mean", "std"))
    x = (train - mean) / std
    windows = np.stack([x[i : i + rows] for i in range(len(x) - rows)])
    H = np.c_[hidden(windows), np.ones(len(windows))]
    readout = np.linalg.solve(H.T @ H + 0.1 * np.eye(cells + 1), H.T @ windows[:, -1])
    readout = readout.astype(np.float32).astype(float)

    def squares(scaled):
        forecast = np.c_[hidden(scaled), np.ones(len(scaled))] @ readout
        return (forecast - scaled[:, -1]) ** 2

    constants = [
        weights(W, "W"),
        weights(R, "R"),
        weights(B, "B"),
        weights(readout[:-1], "readout"),
        weights(readout[-1], "bias"),
        numpy_helper.from_array(np.array([0]), "zero"),
        numpy_helper.from_array(np.array([1]), "one"),
        numpy_helper.from_array(np.array([rows - 1]), "newest"),
        numpy_helper.from_array(np.array([rows]), "end"),
    ]
    nodes = [
        helper.make_node("Slice", ["x", "zero", "newest", "one"], ["before"]),
        helper.make_node("Slice", ["x", "newest", "end", "one"], ["last"]),
        helper.make_node("Squeeze", ["last", "one"], ["row"]),
        helper.make_node("Transpose", ["before"], ["steps"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["steps", "W", "R", "B"], ["", "h"], hidden_size=cells),
        helper.make_node("Squeeze", ["h", "zero"], ["state"]),
        helper.make_node("Gemm", ["state", "readout", "bias"], ["forecast"]),
        helper.make_node("Sub", ["forecast", "row"], ["error"]),
        helper.make_node("Mul", ["error", "error"], ["squares"]),
    ]
    outputs = [("forecast", ["batch", metrics]), ("squares", ["batch", metrics])]
    model = graph(nodes, "lstm", ["batch", rows, metrics], outputs, constants)
    fresh = np.random.default_rng(12)
    chosen = [rounded(swing(fresh, rows, 5000 + 7 * i)) for i in range(6)]
    chosen[4][-1, 1] += 0.8
    chosen[5][-1] = chosen[5][-7]
    scaled = (np.stack(chosen) - mean) / std
    threshold = float(f"{1.5 * np.quantile(squares(windows).mean(1), 0.999):.4g}")
    sidecar = {
        "input": "x",
        "inputs": inputs,
        "window": {"rows": rows, "layout": "rows_first", "every_ms": 1000},
        "fill": {"method": "last", "max_ms": 3000},
        "output": "forecast",
        "contributions": "squares",
        "reduction": "mse",
        "threshold": threshold,
    }
    write("lstm", model, sidecar, chosen, squares(scaled).mean(1))


def sklearn_sidecar(metrics, spread, inputs=None):
    """As skl2onnx exports outlier detectors: `scores` is decision_function, low is bad."""
    return {
        "input": "X",
        "inputs": inputs or [{"metric": m} for m in metrics],
        "output": "scores",
        "reduction": "none",
        "direction": "lower",
        "threshold": 0,
        "spread": spread,
    }


def isolation_forest():
    """Scaled outside; scikit-learn has had the same scaled float32 rows."""
    train = machine(np.random.default_rng(3), 400)[:, :3]
    inputs = scaling(METRICS[:3], train.mean(0), train.std(0))
    mean, std = (np.array([i[k] for i in inputs]) for k in ("mean", "std"))
    x = ((train - mean) / std).astype(np.float32)
    forest = IsolationForest(n_estimators=5, max_samples=16, contamination=0.01, random_state=3).fit(x)
    model = to_onnx(forest, initial_types=[("X", FloatTensorType([None, 3]))], target_opset=OPSET)
    rows = samples(np.random.default_rng(13))[:, :3]
    raws = forest.decision_function(((rows - mean) / std).astype(np.float32))
    write("isolation-forest", model, sklearn_sidecar(METRICS[:3], 0.1, inputs), rows, raws)


def scaler_pca_svm():
    """A pipeline that scales for itself: model.json names metrics only."""
    train = machine(np.random.default_rng(4), 250)
    made = make_pipeline(StandardScaler(), PCA(3, random_state=4), OneClassSVM(nu=0.02, gamma=0.2))
    made.fit(train.astype(np.float32))
    model = to_onnx(made, initial_types=[("X", FloatTensorType([None, 6]))], target_opset=OPSET)
    rows = samples(np.random.default_rng(14))
    raws = made.decision_function(rows.astype(np.float32)).ravel()
    write("scaler-pca-svm", model, sklearn_sidecar(METRICS, 0.1), rows, raws)


if __name__ == "__main__":
    dense_autoencoder()
    lstm()
    isolation_forest()
    scaler_pca_svm()
