// count.mjs FILE - counts what ONNX Runtime makes of the pictures that answers.c gives on stdin.
// SPDX-License-Identifier: MIT
//
// Prints one JSON object: n, the right answers of both, how often they are the same, and the runtime.
import { floats, runtime, session } from './ort.mjs'

const [file] = process.argv.slice(2)
const BATCH = 8, HEAD = 8 // pictures; bytes before each: label and answer
const s = await session(file)
const record = HEAD + 4 * s.size
const total = { n: 0, vise_top1: 0, ort_top1: 0, same: 0 }

function largest(row) {
  let at = 0
  for (let i = 1; i < row.length; i++) if (row[i] > row[at]) at = i
  return at
}

/* Whole records. */
async function count(records) {
  const n = records.length / record
  const x = new Float32Array(n * s.size)
  for (let i = 0; i < n; i++)
    x.set(floats(records.subarray(i * record + HEAD, (i + 1) * record)), i * s.size)
  const [y] = Object.values(await s.run(x))
  const classes = y.data.length / n
  for (let i = 0; i < n; i++) {
    const [label, answer] = [0, 4].map((at) => records.readUInt32LE(i * record + at))
    const ours = largest(y.data.subarray(i * classes, (i + 1) * classes))
    total.n++
    total.vise_top1 += answer === label
    total.ort_top1 += ours === label
    total.same += answer === ours
  }
}

let chunks = [], bytes = 0
for await (const chunk of process.stdin) {
  chunks.push(chunk)
  bytes += chunk.length
  if (bytes < BATCH * record) continue
  const all = Buffer.concat(chunks), whole = bytes - (bytes % record)
  await count(all.subarray(0, whole))
  chunks = [all.subarray(whole)]
  bytes -= whole
}
if (bytes % record) throw new Error(`${bytes % record} bytes after the last picture`)
if (bytes) await count(Buffer.concat(chunks))
if (!total.n) throw new Error('no picture on stdin')
const { same, ...counts } = total
console.log(JSON.stringify({ ...counts, agreement: same / total.n, runtime }))
await s.release()
