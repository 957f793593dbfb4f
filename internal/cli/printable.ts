// What strangers wrote, made safe for a terminal: a subject must not move the cursor, set the title, or turn text around.

/** CSI, OSC and DCS sequences with their arguments (ECMA-48 5.4, 5.6), then any other escape with its final byte. */
const ESCAPES =
  /(?:\x1b\[|\x9b)[\x30-\x3f]*[\x20-\x2f]*[\x40-\x7e]?|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)|\x1b[\x20-\x2f]*[\x30-\x7e]?/g

/** Controls, bidirectional controls (Unicode UAX 9, 2), line separators, invisible joiners and tags. */
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu

/** `text` without escapes, controls and bidi controls; line ends and tabs become one space. */
export function printable(text: string): string {
  return text
    .replace(ESCAPES, '')
    .replace(/[\r\n\t]+/g, ' ')
    .replace(UNSAFE, '')
    .toWellFormed()
}

/** JSON whose value is the same and whose text is safe to print: what JSON leaves raw and a terminal obeys is escaped. */
export function printableJson(value: unknown, indent = 0): string {
  const escape = (found: string) =>
    [...Array(found.length).keys()].map((at) => `\\u${found.charCodeAt(at).toString(16).padStart(4, '0')}`).join('')
  return (JSON.stringify(value, null, indent) ?? 'null').replace(UNSAFE, (found) =>
    found === '\n' ? found : escape(found),
  )
}

const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u

/** Terminal columns that `text` takes; combining marks take none, East Asian wide characters two (UAX 11). */
export function columnsOf(text: string): number {
  let width = 0
  for (const char of text) width += /\p{M}|\u200d/u.test(char) ? 0 : WIDE.test(char) ? 2 : 1
  return width
}

/** `text` in at most `width` columns; a cut is shown by an ellipsis. */
export function fit(text: string, width: number): string {
  if (columnsOf(text) <= width) return text
  let cut = ''
  for (const char of text) {
    if (columnsOf(cut + char) > width - 1) break
    cut += char
  }
  return `${cut}…`
}
