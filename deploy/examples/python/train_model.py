"""An autoencoder for one kind of device, from a CSV file of ordinary operation.

    python train_model.py HISTORY.csv OUT_DIRECTORY METRIC METRIC ...

Writes model.onnx and model.json. Needs: pip install -r requirements-model.txt
"""

import csv
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from sklearn.neural_network import MLPRegressor


def main(history: str, out: str, *metrics: str) -> None:
    rows = read(history, metrics)
    # The newest quarter is not learned from: it says what the model makes of days it has not seen.
    learned, unseen = np.split(rows, [len(rows) * 3 // 4])
    mean, std = learned.mean(axis=0), learned.std(axis=0)
    scaled = ((learned - mean) / std).astype(np.float32)
    narrow = max(1, len(metrics) // 2)
    model = MLPRegressor(
        hidden_layer_sizes=(8, narrow, 8), activation="tanh", max_iter=2000, random_state=1
    ).fit(scaled, scaled)

    rebuilt = model.predict(((unseen - mean) / std).astype(np.float32))
    errors = np.square(rebuilt - (unseen - mean) / std).mean(axis=1)
    threshold = 1.5 * float(np.quantile(errors, 0.999))

    onnx = to_onnx(model, scaled[:1], target_opset={"": 15, "ai.onnx.ml": 3})
    # Fieldline groups the rows of many devices into one call: the first dimension must be free.
    for tensor in (*onnx.graph.input, *onnx.graph.output):
        tensor.type.tensor_type.shape.dim[0].Clear()
    file = onnx.SerializeToString()
    sidecar = {
        "version": "1",
        "sha256": hashlib.sha256(file).hexdigest(),
        "input": onnx.graph.input[0].name,
        "inputs": [
            {"metric": name, "mean": float(m), "std": float(s)}
            for name, m, s in zip(metrics, mean, std)
        ],
        # An older reading of a metric than this is no part of the picture.
        "fill": {"method": "last", "max_ms": 60_000},
        "output": onnx.graph.output[0].name,
        "reduction": "mse",
        "threshold": threshold,
    }
    directory = Path(out)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "model.onnx").write_bytes(file)
    (directory / "model.json").write_text(json.dumps(sidecar, indent=2))
    print(f"{directory}: {len(learned)} rows learned, threshold {threshold:.4g}")


def read(history: str, metrics: tuple[str, ...]) -> np.ndarray:
    with open(history, newline="") as lines:
        rows = [[float(row[name]) for name in metrics] for row in csv.DictReader(lines)]
    return np.array(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
