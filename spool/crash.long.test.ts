// The power goes after every change that every workload makes to the disk; what was not synced survives in every bounded choice of
// parts. Then a recovery, in which the power goes again, and the oracle: what the outside was told against what is there.
import { expect, test } from 'vitest'
import type { SpoolEntry, SpoolNote } from './contract.ts'
import { inspect } from './inspect.ts'
import { MemFs, type Pending } from './memfs.ts'
import { openReader } from './reader.ts'
import { bodyOf, drain, message, numbers, put, testOptions } from './testing/rig.ts'
import { nothingTold, REASON, WORKLOADS, type Told, type Workload } from './testing/workloads.ts'
import { openWriter } from './writer.ts'

const SEED = Number(process.env['SPOOL_SEED'] ?? 20261121)
const RANDOM_SUBSETS = 6

type Choose = (pending: Pending, index: number) => boolean

/** None, all, each alone, all but each, and some at random. */
function subsets(pending: readonly Pending[], next: () => number): Choose[] {
  const chosen: Choose[] = [() => false]
  if (pending.length === 0) return chosen
  chosen.push(() => true)
  for (let n = 0; n < Math.min(pending.length, 12); n++) chosen.push((_, index) => index === n)
  for (let n = 0; n < Math.min(pending.length, 6); n++) chosen.push((_, index) => index !== n)
  for (let n = 0; n < RANDOM_SUBSETS; n++) chosen.push(randomSubset(next))
  return chosen
}

/** Keeps what it said of each pending change. */
function randomSubset(next: () => number): Choose {
  const said: boolean[] = []
  return (_, index) => (said[index] ??= next() < 0.5)
}

async function cut(workload: Workload, changes: number): Promise<{ disk: MemFs; told: Told; ended: boolean }> {
  const disk = new MemFs()
  const told = nothingTold()
  disk.crashAfter(changes)
  await workload.run(disk, told)
  return { disk, told, ended: disk.changes < changes }
}

interface Checking {
  limits: Record<string, number>
  /** The reader is at work before the writer recovers. */
  readerFirst: boolean
}

/** Opens, reads and closes; throws where the oracle and the disk disagree. */
async function check(disk: MemFs, told: Told, { limits, readerFirst }: Checking): Promise<void> {
  const options = testOptions(disk, { limits, seed: 99 })
  const later = message(9, 400)
  const seen = new Set<string>()
  const read = async (entry: SpoolEntry) => {
    const sent = entry.id === later.id ? later : told.begun.get(entry.id)
    if (sent === undefined) throw new Error(`${entry.id} was never sent`)
    if (!(await bodyOf(entry)).equals(sent.body)) throw new Error(`${entry.id} is not what was sent`)
    seen.add(entry.id)
  }
  let lastNote = -1
  const noted = async ({ id, note }: SpoolNote) => {
    const at = told.noted.indexOf(id)
    if (at === -1 || JSON.stringify(note) !== JSON.stringify({ n: Number.parseInt(id.slice(-4), 16) }))
      throw new Error(`${id} is not what was noted`)
    if (at < lastNote) throw new Error(`${id} is out of its order`)
    lastNote = at
    seen.add(id)
  }
  let reader = readerFirst ? await openReader(options) : undefined
  if (reader !== undefined) await drain(reader, options.clock, read, noted)
  const writer = await openWriter(options)
  reader ??= await openReader(options)
  await put(writer, later)
  await drain(reader, options.clock, read, noted)
  for (const id of [...told.acknowledged.keys(), later.id]) {
    if (seen.has(id) || told.done.has(id)) continue
    if (!told.aside.has(id)) throw new Error(`${id} was acknowledged and is lost`)
    const kept = await inspect(options).find(id)
    if (kept?.state !== 'aside') throw new Error(`${id} was set aside and is lost`)
    if (kept.reason !== REASON) throw new Error(`${id} was set aside because ${REASON}, not because ${kept.reason}`)
    const sent = told.acknowledged.get(id)
    if (sent === undefined || !(await bodyOf(kept)).equals(sent.body)) throw new Error(`${id} is damaged in aside/`)
  }
  for await (const kept of inspect(options).aside()) {
    if (!told.aside.has(kept.id) && told.acknowledged.has(kept.id))
      throw new Error(`${kept.id} was set aside by itself: ${kept.reason}`)
  }
  for (const path of disk.files('/spool/aside')) {
    const [, id = ''] = /([^/]*)\.partial$/.exec(path) ?? []
    if (told.acknowledged.has(id))
      throw new Error(`the body of ${id}, which was acknowledged, was taken for one that no frame names`)
  }
  for (const id of seen) await reader.done(id)
  await reader.close()
  await writer.close()
}

/** A recovery that the power ends after `changes`; false if it came to its end. */
async function brokenRecovery(disk: MemFs, limits: Record<string, number>, changes: number): Promise<boolean> {
  const options = testOptions(disk, { limits, seed: 77 })
  disk.crashAfter(changes)
  try {
    const writer = await openWriter(options)
    const reader = await openReader(options)
    await drain(reader, options.clock, async () => undefined)
    await reader.close()
    await writer.close()
  } catch (error) {
    if (!(error instanceof Error && /power is off|takes nothing more/.test(error.message))) throw error
  }
  return disk.changes >= changes
}

const described = (error: unknown, where: string) =>
  new Error(`${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })

test.each(WORKLOADS)('every crash point: $name', async (workload) => {
  const next = numbers(SEED)
  const { limits = {} } = workload
  let cases = 0
  for (let changes = 1, ended = false; !ended; changes++) {
    const { disk, told, ...state } = await cut(workload, changes)
    ended = state.ended
    const choices = subsets(disk.pending(), next)
    for (const [index, choose] of choices.entries()) {
      try {
        await check(disk.crash(choose), told, { limits, readerFirst: index % 2 === 1 })
        cases++
        // The power goes again while it recovers: after none or all survived, at every other change; else at some.
        for (let again = 1; again < 60; again += index < 2 ? 2 : 9) {
          const second = disk.crash(choose)
          if (!(await brokenRecovery(second, limits, again))) break
          const third = second.crash(again % 3 === 0 ? () => true : randomSubset(next))
          await check(third, told, { limits, readerFirst: again % 2 === 0 })
          cases++
        }
      } catch (error) {
        throw described(error, `seed ${SEED}, after change ${changes}, choice ${index} of ${choices.length}`)
      }
    }
  }
  expect(cases).toBeGreaterThan(100)
  console.log(`${workload.name}: ${cases} crashes, seed ${SEED}`)
})

test.each(WORKLOADS)('the process dies at every point, the power goes later: $name', async (workload) => {
  const next = numbers(SEED)
  const { limits = {} } = workload
  for (let changes = 1, ended = false; !ended; changes++) {
    for (let later = 1 + (changes % 3); later < 60; later += 4) {
      const { disk, told, ...state } = await cut(workload, changes)
      ended = state.ended
      disk.restartProcess()
      const isCut = await brokenRecovery(disk, limits, disk.changes + later)
      const choices = [() => false, randomSubset(next), randomSubset(next)]
      for (const [index, choose] of choices.entries()) {
        try {
          await check(disk.crash(choose), told, { limits, readerFirst: index === 1 })
        } catch (error) {
          throw described(
            error,
            `seed ${SEED}, killed after change ${changes}, power cut ${later} later, choice ${index}`,
          )
        }
      }
      if (!isCut) break
    }
  }
})
