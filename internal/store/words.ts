// Text as words, the same for every engine: what the index holds and what is asked for are cut by this file alone, so that a
// query finds the same messages on each of them.

/** Longer words are cut, in UTF-16 units, both when stored and when asked for. */
const WORD_UNITS_MAX = 255

// Scripts that write words without spaces: each character is a word, and a search for several is a phrase.
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]/gu
/** Accents of Latin, Greek and Cyrillic letters, once taken apart. Marks of other scripts are part of their words. */
const ACCENTS = /[\u0300-\u036f]/g
const WORD = /[\p{L}\p{N}\p{M}\p{Co}]+/gu
const HAS_LETTER = /[\p{L}\p{N}\p{Co}]/u
const ASCII = /^[\0-\x7f]*$/
/** What WORD finds in lower-case ASCII, where every one of them counts; Unicode's classes take three times as long. */
const ASCII_WORD = /[0-9a-z]+/g

/** Without accents and in lower case; both sigmas are one letter. */
function folded(text: string): string {
  const bare = text.normalize('NFD').replaceAll(ACCENTS, '').normalize('NFC')
  return bare.toLowerCase().replaceAll('ς', 'σ').replaceAll(UNSPACED, ' $& ')
}

/** The words of a text in their order: letters, digits and marks in lower case, nothing else. */
export function wordsOf(text: string): string[] {
  if (ASCII.test(text)) return (text.toLowerCase().match(ASCII_WORD) ?? []).map(cut)
  const words = folded(text).match(WORD) ?? []
  return words.filter((word) => HAS_LETTER.test(word)).map(cut)
}

/** Not within a character: half of one cannot be stored. */
const cut = (word: string): string =>
  word.length > WORD_UNITS_MAX ? word.slice(0, WORD_UNITS_MAX).toWellFormed() : word

/** One tsvector holds words up to position 16,383, 256 positions of each, and 1 MiB in all; what is past that it drops or refuses. */
const PART = { words: 16_000, positions: 256, bytes: 512 * 1024 } as const
/** Words that each part repeats of the one before, but for one, so that a phrase of so many words stands in one of them. */
const PART_OVERLAP = 32

/** A text as tsvectors, which together know the place of every word. Each is written as PostgreSQL reads it. */
export function* tsvectorsOf(words: readonly string[]): Generator<string> {
  for (let from = 0; from < words.length;) {
    const places = new Map<string, number[]>()
    let at = from
    for (let bytes = 0; at < words.length && at - from < PART.words; at++) {
      const word = words[at] ?? ''
      const known = places.get(word)
      if (known === undefined) {
        bytes += word.length * 3
        places.set(word, [at - from + 1])
      } else known.push(at - from + 1)
      bytes += 8
      if ((known?.length ?? 0) === PART.positions || bytes > PART.bytes) {
        at += 1
        break
      }
    }
    yield [...places].map(([word, positions]) => `'${word}':${positions.join(',')}`).join(' ')
    from = at < words.length ? at - PART_OVERLAP + 1 : at
  }
}

/** A phrase as a tsquery; with `prefix` its last word may go on. */
export const tsqueryOf = (words: readonly string[], prefix: boolean): string =>
  words.map((word, at) => `'${word}'${prefix && at === words.length - 1 ? ':*' : ''}`).join(' <-> ')

/** A long phrase as windows of what one part is sure to hold, each half over the one before; all of them must be found. */
export function windowsOf(words: readonly string[]): string[][] {
  const windows = [words.slice(0, PART_OVERLAP)]
  for (let from = PART_OVERLAP / 2; from + PART_OVERLAP / 2 < words.length; from += PART_OVERLAP / 2) {
    windows.push(words.slice(from, from + PART_OVERLAP))
  }
  return windows
}
