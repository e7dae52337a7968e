/**
 * Writes ONNX models: enough of the format for small graphs of standard operators, so that a model
 * can be made without Python.
 *
 * Sources: onnx/onnx.proto (field numbers below are from it; IR version 8), Protocol Buffers
 * encoding (varint, length-delimited, packed).
 */
export interface OnnxModel {
  name: string
  producer: string
  /** ≤ 17: what every runtime in the field reads. */
  opset: number
  inputs: OnnxValue[]
  outputs: OnnxValue[]
  constants: OnnxConstant[]
  nodes: OnnxNode[]
}

/** A float tensor; a dimension given by name is free. */
export interface OnnxValue {
  name: string
  shape: (number | string)[]
}

export interface OnnxConstant {
  name: string
  shape: number[]
  /** Row by row; written as float32. */
  values: readonly number[]
}

export interface OnnxNode {
  op: string
  inputs: string[]
  outputs: string[]
  attributes?: Record<string, OnnxAttribute>
}

export type OnnxAttribute = { int: number } | { float: number } | { ints: number[] }

const IR_VERSION = 8
const FLOAT = 1
const ATTRIBUTE_TYPE = { float: 1, int: 2, ints: 7 } as const

export function encodeOnnx(model: OnnxModel): Buffer {
  return message(
    varint(1, IR_VERSION),
    text(2, model.producer),
    bytes(7, graph(model)),
    bytes(8, message(text(1, ''), varint(2, model.opset)))
  )
}

function graph(model: OnnxModel): Buffer {
  return message(
    ...model.nodes.map((n, i) => bytes(1, node(n, i))),
    text(2, model.name),
    ...model.constants.map(c => bytes(5, tensor(c))),
    ...model.inputs.map(v => bytes(11, valueInfo(v))),
    ...model.outputs.map(v => bytes(12, valueInfo(v)))
  )
}

function node({ op, inputs, outputs, attributes = {} }: OnnxNode, index: number): Buffer {
  return message(
    ...inputs.map(i => text(1, i)),
    ...outputs.map(o => text(2, o)),
    text(3, `${op}_${index}`),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) => bytes(5, attribute(name, value)))
  )
}

function attribute(name: string, value: OnnxAttribute): Buffer {
  if ('int' in value) {
    return message(text(1, name), varint(3, value.int), varint(20, ATTRIBUTE_TYPE.int))
  }
  if ('float' in value) {
    return message(text(1, name), fixed32(2, value.float), varint(20, ATTRIBUTE_TYPE.float))
  }
  const ints = value.ints.map(i => varint(8, i))
  return message(text(1, name), ...ints, varint(20, ATTRIBUTE_TYPE.ints))
}

function tensor({ name, shape, values }: OnnxConstant): Buffer {
  const raw = Buffer.alloc(values.length * 4)
  for (const [i, value] of values.entries()) raw.writeFloatLE(value, 4 * i)
  return message(...shape.map(d => varint(1, d)), varint(2, FLOAT), text(8, name), bytes(9, raw))
}

function valueInfo({ name, shape }: OnnxValue): Buffer {
  const dimensions = shape.map(d => bytes(1, typeof d === 'number' ? varint(1, d) : text(2, d)))
  const tensorType = message(varint(1, FLOAT), bytes(2, message(...dimensions)))
  return message(text(1, name), bytes(2, bytes(1, tensorType)))
}

function message(...fields: Buffer[]): Buffer {
  return Buffer.concat(fields)
}

/** Field of wire type 0. Negative numbers as 64-bit two's complement. */
function varint(field: number, value: number): Buffer {
  return Buffer.concat([variable(field * 8), variable(value)])
}

/** Field of wire type 2. */
function bytes(field: number, value: Buffer): Buffer {
  return Buffer.concat([variable(field * 8 + 2), variable(value.length), value])
}

function text(field: number, value: string): Buffer {
  return bytes(field, Buffer.from(value))
}

/** Field of wire type 5. */
function fixed32(field: number, value: number): Buffer {
  const float = Buffer.alloc(4)
  float.writeFloatLE(value)
  return Buffer.concat([variable(field * 8 + 5), float])
}

function variable(value: number): Buffer {
  let rest = BigInt.asUintN(64, BigInt(value))
  const out: number[] = []
  do {
    const more = rest > 0x7fn
    out.push(Number(rest & 0x7fn) | (more ? 0x80 : 0))
    rest >>= 7n
  } while (rest > 0n)
  return Buffer.from(out)
}
