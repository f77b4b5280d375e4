// ort.mjs - an ONNX file in ONNX Runtime, on random or given images.
// SPDX-License-Identifier: MIT
//
// The package is looked for in $VISE_PEERS/node_modules: see install.sh.
import { createRequire } from 'node:module'
import path from 'node:path'

const require = createRequire(path.join(process.env.VISE_PEERS, 'package.json'))
const ort = require('onnxruntime-node')
export const runtime = `onnxruntime ${require('onnxruntime-node/package.json').version}`

/* The f32 numbers of a Buffer. */
export function floats(buffer) {
  return new Float32Array(buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength))
}

/* options: threads; level: of graph optimization; disable: names of optimizers, by ';'. */
export async function session(file, options = {}) {
  const s = await ort.InferenceSession.create(file, {
    intraOpNumThreads: options.threads ?? 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: options.level ?? 'all',
    logSeverityLevel: 3,
    extra: options.disable ? { optimization: { disable_specified_optimizers: options.disable } } : {},
  })
  const image = s.inputMetadata[0].shape.slice(1)
  const size = image.reduce((a, b) => a * b, 1)
  return {
    size,
    run: (x) => s.run({ [s.inputNames[0]]: new ort.Tensor('float32', x, [x.length / size, ...image]) }),
    release: () => s.release(),
  }
}
