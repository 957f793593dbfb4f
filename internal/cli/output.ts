// How answers are printed: data to stdout, everything else to stderr. One shape for people, one for scripts.

import type { Writable } from 'node:stream'
import { CliError } from './exit.ts'
import { columnsOf, fit, printable, printableJson } from './printable.ts'

export type Format = 'people' | 'plain' | 'json' | 'ndjson'

/** A stream of the process, or what a test collects. */
export type Sink = Writable & { isTTY?: boolean; columns?: number }

/** One column of a table. What `of` returns is made printable here, so it may come from mail. */
export interface Column<T> {
  head: string
  of(row: T): string
  /** Columns it takes in a stream, which cannot know the widest value. */
  width?: number
  /** Numbers align right. */
  right?: boolean
  paint?(row: T): Paint | undefined
}

const PAINTS = { red: 31, green: 32, yellow: 33, blue: 34, grey: 90, bold: 1 } as const
export type Paint = keyof typeof PAINTS

/** Pages of rows. */
export type Pages<T> = AsyncIterable<readonly T[]> | Iterable<readonly T[]>

export interface OutputOptions {
  out: Sink
  err: Sink
  format: Format
  colour: boolean
}

/** Writes data and notes. A reader that went away (EPIPE) surfaces as `Closed`. */
export class Output {
  readonly format: Format
  readonly #out: Sink
  readonly #err: Sink
  readonly #colour: boolean

  constructor(options: OutputOptions) {
    this.format = options.format
    this.#out = options.out
    this.#err = options.err
    this.#colour = options.colour
  }

  /** True where a script reads: no headings, no prose. */
  get forScripts(): boolean {
    return this.format !== 'people'
  }

  /** Bytes or text to stdout, waiting while the reader is slow. */
  async data(chunk: string | Uint8Array): Promise<void> {
    await written(this.#out, chunk)
  }

  async line(text: string): Promise<void> {
    await this.data(`${text}\n`)
  }

  /** One value as JSON: a line for NDJSON, indented else. */
  async json(value: unknown): Promise<void> {
    await this.line(printableJson(value, this.format === 'ndjson' ? 0 : 2))
  }

  /** A remark for people, to stderr. */
  note(text: string): void {
    this.#err.write(`${text}\n`)
  }

  paint(paint: Paint | undefined, text: string): string {
    return paint === undefined || !this.#colour ? text : `\x1b[${PAINTS[paint]}m${text}\x1b[0m`
  }

  /** Rows in the format asked for. `jsonOf` says what a script gets of a row; the row itself unless given. */
  async rows<T>(rows: readonly T[], columns: readonly Column<T>[], jsonOf: (row: T) => unknown = (row) => row) {
    await this.pages([rows], columns, jsonOf)
  }

  /** Rows that come in pages, printed as they come: a list of any length takes the memory of one page. */
  async pages<T>(pages: Pages<T>, columns: readonly Column<T>[], jsonOf: (row: T) => unknown = (row) => row) {
    let count = 0
    if (this.format === 'json') await this.data('[')
    for await (const page of pages) {
      if (this.format === 'people') await this.#table(page, columns, count === 0)
      for (const row of this.format === 'people' ? [] : page) {
        if (this.format !== 'json') await this.streamed(row, columns, jsonOf)
        else await this.data(`${count === 0 ? '' : ','}\n${printableJson(jsonOf(row))}`)
        count += 1
      }
      count += this.format === 'people' ? page.length : 0
    }
    if (this.format === 'json') await this.data(count === 0 ? ']\n' : '\n]\n')
  }

  /** One text of each row and nothing else: a line, or a JSON string for scripts that asked for JSON. */
  async bare<T>(pages: Pages<T>, of: (row: T) => string) {
    if (this.format === 'json' || this.format === 'ndjson') return await this.pages(pages, [], of)
    for await (const page of pages) for (const row of page) await this.line(printable(of(row)))
  }

  /** One row of a stream that has no end: NDJSON, tab-separated, or a line of text. */
  async streamed<T>(row: T, columns: readonly Column<T>[], jsonOf: (row: T) => unknown = (row) => row) {
    if (this.format === 'json' || this.format === 'ndjson') return await this.line(printableJson(jsonOf(row)))
    if (this.format === 'plain') return await this.line(columns.map((each) => printable(each.of(row))).join('\t'))
    const cells = columns.map((each) => {
      const text = printable(each.of(row))
      return this.paint(each.paint?.(row), text + ' '.repeat(Math.max(0, (each.width ?? 0) - columnsOf(text))))
    })
    await this.line(cells.join('  ').trimEnd())
  }

  /** One thing: an object for scripts, `name: value` lines for people. Values that are undefined are left out. */
  async facts(json: unknown, facts: readonly (readonly [string, string | undefined])[]): Promise<void> {
    if (this.format === 'json' || this.format === 'ndjson') return await this.json(json)
    const shown = facts.filter((fact): fact is [string, string] => fact[1] !== undefined)
    const width = Math.max(0, ...shown.map(([name]) => name.length))
    for (const [name, value] of shown) {
      const tab = this.format === 'plain' ? `${name}\t` : this.paint('grey', `${name}:`.padEnd(width + 2))
      await this.line(tab + printable(value))
    }
  }

  async #table<T>(rows: readonly T[], columns: readonly Column<T>[], headed: boolean): Promise<void> {
    const cells = rows.map((row) => columns.map((column) => printable(column.of(row))))
    const widths = columns.map((column, at) =>
      Math.max(column.head.length, ...cells.map((row) => columnsOf(row[at] ?? ''))),
    )
    const room = (this.#out.isTTY === true ? this.#out.columns : undefined) ?? Number.MAX_SAFE_INTEGER
    // The last column is prose (a subject, a meaning): it alone gives way to a narrow terminal.
    const others = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0)
    const last = columns.length - 1
    widths[last] = Math.min(widths[last] ?? 0, Math.max(10, room - others))
    const align = (text: string, at: number): string => {
      const width = widths[at] ?? 0
      const fitted = at === last ? fit(text, width) : text
      const space = ' '.repeat(Math.max(0, width - columnsOf(fitted)))
      if (columns[at]?.right === true) return space + fitted
      return at === last ? fitted : fitted + space
    }
    if (headed && rows.length > 0)
      await this.line(this.paint('bold', columns.map((each, at) => align(each.head, at)).join('  ')))
    for (const [index, row] of rows.entries()) {
      const painted = columns.map((column, at) => this.paint(column.paint?.(row), align(cells[index]?.[at] ?? '', at)))
      await this.line(painted.join('  ').trimEnd())
    }
  }
}

/** The reader of stdout went away: not a failure of ours, and no reason to go on. */
export class Closed extends Error {}

function written(sink: Sink, chunk: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    if (sink.destroyed || sink.writableEnded) return reject(new Closed('output closed'))
    sink.write(chunk, (error) => {
      if (error === null || error === undefined) return resolve()
      const gone = 'code' in error && (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED')
      reject(gone ? new Closed('output closed') : new CliError('failure', `cannot write: ${error.message}`))
    })
  })
}
