// Structured header values: `value; name=value; name="quoted" (comment)` (RFC 2045 5.1), read in one pass.

export interface Structured {
  /** In lower case, without comments. */
  value: string
  /** In order. `raw` is the text behind `=`, quotes and all. */
  params: { name: string; raw: string }[]
}

/** Splits at semicolons outside quotes and comments, and drops the comments (RFC 5322 3.2.2). An open quote or comment ends with the text. */
export function structured(text: string): Structured {
  const [value = '', ...rest] = pieces(text)
  const params = rest.flatMap((piece) => {
    const equals = piece.indexOf('=')
    if (equals < 1) return []
    return [{ name: piece.slice(0, equals).trim().toLowerCase(), raw: piece.slice(equals + 1).trim() }]
  })
  return { value: value.trim().toLowerCase(), params }
}

function pieces(text: string): string[] {
  const found: string[] = []
  let piece = ''
  let copied = 0
  let quoted = false
  let comments = 0
  const copyTo = (end: number): void => {
    if (comments === 0) piece += text.slice(copied, end)
  }
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i]
    if (c === '\\') i += 1
    else if (quoted) quoted = c !== '"'
    else if (c === '(') {
      copyTo(i)
      comments += 1
    } else if (comments > 0) {
      if (c !== ')') continue
      comments -= 1
      copied = i + 1
    } else if (c === '"') quoted = true
    else if (c === ';') {
      copyTo(i)
      found.push(piece)
      piece = ''
      copied = i + 1
    }
  }
  copyTo(text.length)
  return [...found, piece]
}

/** The value of a parameter, also one that is split or percent-encoded (RFC 2231 3 and 4, ASCII only). The first of several is taken. */
export function parameter(from: Structured, name: string): string | undefined {
  const plain = from.params.find((p) => p.name === name)
  if (plain) return unquoted(plain.raw)
  const split = from.params
    .flatMap((p) => {
      const [base, section = '', encoded] = p.name.split('*')
      if (base !== name || !/^\d{0,4}$/.test(section)) return []
      const text = unquoted(p.raw)
      return [{ nr: Number(section), text: section === '' || encoded === '' ? percentDecoded(text) : text }]
    })
    .sort((a, b) => a.nr - b.nr)
  return split.length > 0 ? split.map((s) => s.text).join('') : undefined
}

function unquoted(raw: string): string {
  if (!raw.startsWith('"')) return raw
  return raw.slice(1).replace(/\\(.)|"[^]*$/g, '$1')
}

/** Leaves out the `charset'language'` in front. */
function percentDecoded(text: string): string {
  return text
    .replace(/^[^']*'[^']*'/, '')
    .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}
