// Characters that no indexed text has: controls, and the marks that turn the direction of text around (Unicode 15 Bidi_Control).

const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}]+/gu
const BIDI = /\p{Bidi_Control}+/gu
/** Not the single spaces, which stay. */
const BLANKS = /[^\S\n ][^\S\n]*| [^\S\n]+/g
const BESIDE_LINE_END = / \n ?|\n /g
/** Where two pieces of a text can be cleaned apart. */
const SEAM = /[!-~]{2}/g

/** One line: controls become spaces, bidi controls go, whitespace is folded. */
export function oneLine(text: string): string {
  return text.toWellFormed().replace(CONTROL, ' ').replace(BIDI, '').replace(/\s+/g, ' ').trim()
}

/** Paragraphs: as `oneLine`, but line breaks stay, at most two in a row. */
export function manyLines(text: string): string {
  return text
    .toWellFormed()
    .replace(/\r\n?/g, '\n')
    .replace(/[^\P{Cc}\n]+/gu, ' ')
    .replace(BIDI, '')
    .replace(BLANKS, ' ')
    .replace(BESIDE_LINE_END, '\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim()
}

/** `manyLines` of the text, or its beginning with more than `enough` UTF-16 units: a long text takes no longer than that. */
export function beginningLines(text: string, enough: number): string {
  SEAM.lastIndex = enough + enough / 8
  const seam = SEAM.exec(text)
  const beginning = seam === null ? '' : manyLines(text.slice(0, seam.index + 1))
  return beginning.length > enough ? beginning : manyLines(text)
}

/** The first `max` UTF-16 units, never half a character. */
export function cut(text: string, max: number): string {
  if (text.length <= max) return text
  const high = text.charCodeAt(max - 1)
  return text.slice(0, high >= 0xd800 && high <= 0xdbff ? max - 1 : max)
}
