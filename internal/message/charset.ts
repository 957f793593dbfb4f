// Which charset a text is decoded from. Known are those of browsers (WHATWG Encoding 4.2) and the code pages of old systems; utf-7
// is not among them, because it hides markup in plain ASCII.

import { isAscii } from 'node:buffer'

export interface Charset {
  /** What the parser is told. */
  name: string
  /** The parser gives back the bytes, as Latin-1, and they go through `guessed`. */
  guess: boolean
  /** There was a label, and it is unknown or refused. */
  unknown: boolean
}

/** Says nothing about bytes above 0x7f, which such mail has all the same. */
const ASCII = /^(us-?ascii|ascii|ansi_x3\.4-1968|default(_charset)?|unknown-8bit|x-unknown|8bit|7bit|binary|none)$/

/** What the parser knows beyond browsers. */
const CODE_PAGE = /^(cp|ibm|windows-?|x-cp)-?(437|737|775|85[025-8]|86[0-9]|1125|9(32|36|49|50))$/

/** Not `iso-8859-1`, which the parser reads as windows-1252. */
const GUESS: Charset = { name: 'binary', guess: true, unknown: false }

export function charsetOf(label: string | undefined): Charset {
  const wanted = (label ?? '').trim().toLowerCase()
  if (wanted === '' || (ASCII.test(wanted) && wanted !== 'x-unknown')) return GUESS
  if (CODE_PAGE.test(wanted)) return { name: wanted.replace(/^[^\d]+/, 'cp'), guess: false, unknown: false }
  try {
    const name = new TextDecoder(wanted).encoding
    if (name === 'x-user-defined') return GUESS
    return { name: name === 'x-mac-cyrillic' ? 'maccyrillic' : name, guess: false, unknown: false }
  } catch (thrown) {
    if (!(thrown instanceof RangeError)) throw thrown
    return { ...GUESS, unknown: true }
  }
}

/** Text of bytes in no known charset: UTF-8 if it is, otherwise the western one. */
export function guessed(bytes: Buffer): string {
  if (isAscii(bytes)) return bytes.toString('latin1')
  try {
    // `stream`: a character that is cut off at the end is no reason to doubt the rest.
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true })
  } catch (thrown) {
    if (!(thrown instanceof TypeError)) throw thrown
    return new TextDecoder('windows-1252').decode(bytes)
  }
}

/** Gives encoded words (RFC 2047 2) and extended parameters (RFC 2231 4) of unknown charset a harmless one. */
export function withKnownCharsets(value: string): { value: string; unknown: boolean } {
  let unknown = false
  const known = (label: string): string => {
    const charset = charsetOf(label)
    unknown ||= charset.unknown
    return charset.guess ? 'windows-1252' : charset.name
  }
  const mended = value
    .replace(/=\?([^?\s*]+)(\*[^?\s]*)?\?(?=[bq]\?)/gi, (_, label: string) => `=?${known(label)}?`)
    .replace(/(\*(?:0\*)?\s*=\s*"?)([^'"\s;]+)(?=')/g, (_, before: string, label: string) => before + known(label))
  return { value: mended, unknown }
}
