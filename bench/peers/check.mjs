// check.mjs DIR - runs the cases that tests/test_onnx.c leaves in DIR, and compares with vise's outputs.
// SPDX-License-Identifier: MIT
//
// NAME.tol holds the largest difference allowed, relative to the largest |number| of an output, or
// "classes": then the answers may differ as two roundings of one network do.
import fs from 'node:fs'
import path from 'node:path'
import { floats, runtime, session } from './ort.mjs'

const [dir] = process.argv.slice(2)
const names = fs.readdirSync(dir).filter((f) => f.endsWith('.tol')).map((f) => f.slice(0, -4)).sort()
let failed = names.length ? 0 : 1
let outputs = 0

const read = (file) => floats(fs.readFileSync(path.join(dir, file)))

function largest(a) {
  let m = 0
  for (const v of a) m = Math.max(m, Math.abs(v))
  return m
}

/* Agreement of the largest logits and mean KL(ours || theirs) in nats, over rows of n. */
function classes(ours, theirs, n) {
  let same = 0, kl = 0
  const rows = ours.length / n
  for (let r = 0; r < rows; r++) {
    const [p, q] = [ours, theirs].map((a) => {
      const row = a.subarray(r * n, r * n + n)
      const top = row.indexOf(row.reduce((x, y) => Math.max(x, y)))
      const z = Math.log(row.reduce((s, v) => s + Math.exp(v - row[top]), 0)) + row[top]
      return { top, log: row.map((v) => v - z) }
    })
    same += p.top === q.top
    kl += p.log.reduce((s, v, i) => s + Math.exp(v) * (v - q.log[i]), 0)
  }
  return { agreement: same / rows, kl: kl / rows }
}

function report(ok, text) {
  if (!ok) failed++
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${text}`)
}

for (const name of names) {
  const tolerance = fs.readFileSync(path.join(dir, `${name}.tol`), 'utf8')
  const s = await session(path.join(dir, `${name}.onnx`), { threads: 1 })
  const got = await s.run(read(`${name}.in`))
  const worst = { error: 0, port: '' }
  for (const [port, y] of Object.entries(got)) {
    const want = read(`${name}.${port}.out`)
    outputs++
    if (want.length !== y.data.length) {
      report(false, `${name}: ${port} has ${y.data.length} numbers, not ${want.length}`)
      continue
    }
    if (tolerance === 'classes') {
      const c = classes(want, y.data, y.dims.at(-1))
      report(c.agreement >= 0.9 && c.kl < 0.05,
        `${name}: ${port}: ${(100 * c.agreement).toFixed(1)} % agree, mean KL ${c.kl.toFixed(5)}`)
      continue
    }
    const error = largest(want.map((v, i) => v - y.data[i])) / largest(want)
    if (!(error <= worst.error)) Object.assign(worst, { error, port })
    if (!(error <= +tolerance)) report(false, `${name}: ${port} differs by ${error.toExponential(2)}`)
  }
  if (tolerance !== 'classes')
    report(worst.error <= +tolerance,
      `${name}: ${Object.keys(got).length} outputs, at most ${worst.error.toExponential(2)} apart (${worst.port})`)
  await s.release()
}
console.log(`${runtime}: ${names.length} models, ${outputs} outputs, ${failed} failures`)
process.exitCode = failed ? 1 : 0
