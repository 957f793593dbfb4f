// Everything that up to three messages can do to a spool (CrashMonkey's bound), as scripts over one disk.
import type { SpoolReader, SpoolWriter } from '../contract.ts'
import type { MemFs } from '../memfs.ts'
import { openReader } from '../reader.ts'
import { openWriter } from '../writer.ts'
import { drain, idOf, message, put, testOptions, type Message } from './rig.ts'

/** What the outside was told before the power went. */
export interface Told {
  /** commit() resolved. */
  acknowledged: Map<string, Message>
  /** begin() was called. */
  begun: Map<string, Message>
  /** done() was called. */
  done: Set<string>
  /** setAside() was called. */
  aside: Set<string>
  /** note() took them, in this order. */
  noted: string[]
}

export interface Workload {
  name: string
  limits?: Record<string, number>
  run(disk: MemFs, told: Told): Promise<void>
}

export const REASON = 'it cannot be handed on'

export const nothingTold = (): Told => ({
  acknowledged: new Map(),
  begun: new Map(),
  done: new Set(),
  aside: new Set(),
  noted: [],
})

class Session {
  readonly #told: Told
  readonly options
  writer!: SpoolWriter
  reader!: SpoolReader

  constructor(disk: MemFs, told: Told, more: { limits?: Record<string, number>; seed?: number } = {}) {
    this.options = testOptions(disk, more)
    this.#told = told
  }

  async write(): Promise<void> {
    this.writer = await openWriter(this.options)
  }

  async read(): Promise<void> {
    this.reader = await openReader(this.options)
  }

  /** A rejected commit is no failure of the workload: it is not acknowledged, and that is all. */
  async put(sent: Message): Promise<void> {
    this.#told.begun.set(sent.id, sent)
    try {
      await put(this.writer, sent)
      this.#told.acknowledged.set(sent.id, sent)
    } catch {
      // told: not accepted
    }
  }

  /** Notes, and time for them to be written. */
  async note(...numbers: number[]): Promise<void> {
    for (const n of numbers) if (this.writer.note(idOf(n), { n })) this.#told.noted.push(idOf(n))
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
  }

  async finish(...ids: string[]): Promise<void> {
    await drain(this.reader, this.options.clock, async () => undefined)
    for (const id of ids) {
      this.#told.done.add(id)
      await this.reader.done(id)
    }
  }

  async setAside(...ids: string[]): Promise<void> {
    await drain(this.reader, this.options.clock, async () => undefined)
    for (const id of ids) {
      this.#told.aside.add(id)
      await this.reader.setAside(id, REASON)
    }
  }

  /** Long enough for the position to be written and what is done to be removed. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 150; turn++) await new Promise((resolve) => setImmediate(resolve))
  }

  async end(): Promise<void> {
    await this.reader?.close()
    await this.writer?.close()
  }
}

const small = (n: number) => message(n, 300)
const large = (n: number) => message(n, 1500)
const ROLL = { segmentBytes: 600 }
const id = (sent: Message) => sent.id

type Script = (session: Session, disk: MemFs) => Promise<void>

function workload(name: string, script: Script, limits: Record<string, number> = {}): Workload {
  const run = async (disk: MemFs, told: Told) => {
    const session = new Session(disk, told, { limits })
    try {
      await session.write()
      await script(session, disk)
      await session.end()
    } catch (error) {
      if (!(error instanceof Error && /power is off|takes nothing more|cannot be/.test(error.message))) throw error
      await session.end().catch(() => undefined) // the power is off
    }
  }
  return { name, limits, run }
}

export const WORKLOADS: Workload[] = [
  workload('three small, one after the other', async (s) => {
    for (const n of [1, 2, 3]) await s.put(small(n))
  }),
  workload('three small in one batch', async (s) => {
    await Promise.all([1, 2, 3].map((n) => s.put(small(n))))
  }),
  workload('small, large, small', async (s) => {
    await s.put(small(1))
    await s.put(large(2))
    await s.put(small(3))
  }),
  workload('two large and a small at once', async (s) => {
    await Promise.all([s.put(large(1)), s.put(large(2)), s.put(small(3))])
  }),
  workload(
    'each small in a segment of its own',
    async (s) => {
      for (const n of [1, 2, 3]) await s.put(small(n))
    },
    ROLL,
  ),
  workload(
    'handed on as they come, segments rolling',
    async (s) => {
      await s.read()
      for (const sent of [small(1), large(2), small(3)]) {
        await s.put(sent)
        await s.finish(id(sent))
        await s.settle()
      }
    },
    ROLL,
  ),
  workload('handed on out of order', async (s) => {
    await s.read()
    for (const sent of [small(1), large(2), small(3)]) await s.put(sent)
    await s.finish(id(large(2)))
    await s.settle()
    await s.finish(id(small(3)))
    await s.settle()
    await s.finish(id(small(1)))
    await s.settle()
  }),
  workload('set aside, small and large', async (s) => {
    await s.read()
    await s.put(large(1))
    await s.put(small(2))
    await s.setAside(id(large(1)), id(small(2)))
    await s.put(small(3))
    await s.settle()
  }),
  workload('the disk is full for the second', async (s, disk) => {
    await s.put(small(1))
    disk.fail({ call: 'write', path: '/log/', nth: 1, error: 'short' })
    disk.fail({ call: 'write', path: '/log/', nth: 2, error: 'ENOSPC' })
    await s.put(small(2))
    await s.put(small(3))
  }),
  workload('the disk is full for the first, before and behind a reader', async (s, disk) => {
    await s.read()
    disk.fail({ call: 'write', path: '/log/', nth: 1, error: 'ENOSPC' })
    await Promise.all([s.put(small(1)), s.put(small(2))])
    await s.put(small(3))
    await s.finish(id(small(3)))
    await s.settle()
  }),
  workload('the disk is full in a large body', async (s, disk) => {
    disk.fail({ call: 'write', path: '/large/', nth: 2, error: 'EDQUOT' })
    await s.put(large(1))
    await s.put(large(2))
    await s.put(small(3))
  }),
  workload('a restart between each', async (s) => {
    for (const sent of [small(1), large(2), small(3)]) {
      await s.put(sent)
      await s.writer.close()
      await s.write()
    }
  }),
  workload('handed on across a restart of both', async (s) => {
    await s.put(small(1))
    await s.put(large(2))
    await s.read()
    await s.finish(id(large(2)))
    await s.reader.close()
    await s.writer.close()
    await s.write()
    await s.read()
    await s.put(small(3))
    await s.finish(id(small(1)), id(small(3)))
    await s.settle()
  }),
  workload('notes before, between and behind the mail', async (s) => {
    await s.note(0xa1)
    await s.put(small(1))
    await s.note(0xa2, 0xa3)
    await s.note(0xa4)
    await s.put(large(2))
    await s.note(0xa5)
    await s.note(0xa6)
  }),
  workload(
    'notes that roll segments, read and done with',
    async (s) => {
      await s.read()
      await s.note(0xa1, 0xa2)
      await s.note(0xa3)
      await s.put(small(1))
      await s.note(0xa4)
      await s.note(0xa5)
      await s.finish(id(small(1)))
      await s.settle()
      await s.put(small(2))
    },
    ROLL,
  ),
  workload('the disk is full for notes, and then for mail', async (s, disk) => {
    await s.note(0xa1)
    disk.fail({ call: 'write', path: '/log/', nth: 1, error: 'ENOSPC' })
    await s.note(0xa2)
    await s.put(small(1))
    await s.note(0xa3)
    disk.fail({ call: 'write', path: '/log/', nth: 1, error: 'ENOSPC' })
    await s.put(small(2))
    await s.put(small(3))
  }),
  workload('an aborted large body', async (s) => {
    const draft = s.writer.begin(id(large(1)))
    await draft.write(large(1).body)
    await draft.abort()
    await s.put(small(2))
  }),
]
