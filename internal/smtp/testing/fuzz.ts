// Random inputs for the reader, from a seed, compared with the reference. `FUZZ_INPUTS` and `FUZZ_SEED` choose a longer run:
// make fuzz

import { agree, readInChunks, reference } from './reference.ts'

/** What meets in smuggling, and what surrounds it. */
const PIECES = [
  '\r', '\n', '.', '\r\n', '\r\n', '\r\n.', '\r\n.\r\n', '\n.\n', '\n.\r\n', '\r\n.\n', '\r.\r', '..', '.\r', '\0', 'x', 'D\r\n', 'D\r\n',
  'B0\r\n', 'B3\r\n', 'B9\r\n', 'NOOP\r\n', 'NOOP\n', '\xff', '\x16\x03', '\t', ' ',
] as const // prettier-ignore

/** mulberry32: 32 bits of state are enough for this. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}

/** The first input that is not read as the reference reads it, with its number; undefined when all of them are. */
export function fuzz(inputs: number, seed: number): { nth: number; chunks: string[] } | undefined {
  const next = seeded(seed)
  for (let nth = 0; nth < inputs; nth += 1) {
    const input = Buffer.from(inputOf(next), 'latin1')
    const chunks: Buffer[] = []
    for (let from = 0; from < input.length;) {
      const to = from + 1 + (next() % 8 === 0 ? next() % 5000 : next() % 6)
      chunks.push(input.subarray(from, to))
      from = to
    }
    if (!agree(readInChunks(chunks), reference(input.toString('latin1')))) {
      return { nth, chunks: chunks.map((chunk) => chunk.toString('latin1')) }
    }
  }
  return undefined
}

function inputOf(next: () => number): string {
  // Half of them are in a mail from the start; a few hold a line about as long as the limits.
  let input = next() % 2 === 0 ? 'D\r\n' : ''
  for (let pieces = next() % 24; pieces > 0; pieces -= 1) {
    input += PIECES[next() % PIECES.length] ?? ''
    if (next() % 500 === 0) input += 'y'.repeat(2030 + (next() % 40) + (next() % 2) * 2048)
  }
  return input
}
