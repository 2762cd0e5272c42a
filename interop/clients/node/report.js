// Runs cases and tells how each ended, one JSON object a line: see interop/src/suites/lines.rs.

import { randomBytes } from 'node:crypto'

export const bootstrap = process.argv[2].split(',')
const only = process.env.CASE ?? ''
const limitMs = 90_000

export const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

/** A name that no other case and no other run uses. */
export const nameOf = text => `${text}-${randomBytes(4).toString('hex')}`

export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

export class Skip extends Error {}

export function check (truth, message) {
  if (!truth) throw new Error(message)
}

export function equal (found, expected) {
  const show = value => JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? `${item}` : item))
  check(show(found) === show(expected), `${show(found)} instead of ${show(expected)}`)
}

export async function eventually (ask, seconds = 30) {
  const end = Date.now() + seconds * 1000
  for (;;) {
    if (await ask()) return
    check(Date.now() < end, `not within ${seconds} s: ${ask}`)
    await sleep(150)
  }
}

/** An error with those that it holds, and those that they hold. */
function everything (error) {
  const held = [error?.cause, ...(error?.errors ?? [])].filter(Boolean)
  return [error, ...held.flatMap(everything)]
}

/** Fails unless `call` is refused with one of the errors that are named. */
export async function refused (call, ...names) {
  try {
    await call()
  } catch (error) {
    const told = everything(error).map(one => `${one?.name} ${one?.type} ${one?.apiId} ${one?.message}`).join(' ')
    const more = JSON.stringify(error, (_, item) => (typeof item === 'bigint' ? `${item}` : item))
    check(names.some(name => told.includes(name) || more.includes(name)), `refused otherwise: ${told}`)
    return
  }
  throw new Error(`not refused with ${names.join(' or ')}`)
}

const tell = line => process.stdout.write(JSON.stringify(line) + '\n')

function within (promise, ms) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not ended within ${ms / 1000} s`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Runs all cases; what a case hands to `defer` is closed after it. */
export async function run (version, cases) {
  tell({ version })
  for (const [name, body] of Object.entries(cases)) {
    if (!name.includes(only)) continue
    const open = []
    let failure
    try {
      await within(body(close => open.push(close)), limitMs)
    } catch (error) {
      failure = error
    }
    for (const close of open.reverse()) await within(Promise.resolve().then(close), 15_000).catch(() => {})
    if (!failure) tell({ case: name, ending: 'passed' })
    else if (failure instanceof Skip) tell({ case: name, ending: 'skipped', detail: failure.message })
    else {
      const at = /at .*scenario-.*?:(\d+)/.exec(failure.stack ?? '')?.[1]
      const causes = everything(failure).map(one => one?.message).filter(Boolean).join(' < ')
      tell({ case: name, ending: 'failed', detail: `${failure.name}: ${causes} (line ${at})`.slice(0, 800) })
    }
  }
  process.exit(0)
}
