// time.mjs THREADS BATCH RUNS CONFIG... - times ONNX files, run by run in turns; one JSON object each.
// SPDX-License-Identifier: MIT
//
// CONFIG is FILE or FILE@OPTIMIZERS: names of graph optimizers that are left out, by ';'. After three
// runs to warm up.
import { runtime, session } from './ort.mjs'

const [threads, batch, runs, ...configs] = process.argv.slice(2)
const WARMUP = 3
const subjects = []

for (const config of configs) {
  const [file, disable] = config.split('@')
  const s = await session(file, { threads: +threads, disable })
  const x = Float32Array.from({ length: +batch * s.size }, () => 2 * Math.random() - 1)
  subjects.push({ config, s, x, ms: [] })
}
for (let r = 0; r < WARMUP + +runs; r++)
  for (const { s, x, ms } of subjects) {
    const start = process.hrtime.bigint()
    await s.run(x)
    if (r >= WARMUP) ms.push(Number(process.hrtime.bigint() - start) / 1e6)
  }
for (const { config, ms } of subjects) {
  ms.sort((a, b) => a - b)
  const middle = ms.length >> 1
  const median_ms = ms.length % 2 ? ms[middle] : (ms[middle - 1] + ms[middle]) / 2
  console.log(JSON.stringify({ config, runtime, min_ms: ms[0], median_ms }))
}
