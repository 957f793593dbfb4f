// What the reader has to say of an input, computed the slow and obvious way on the whole of it: searches and replacements on one string,
// no state, no chunks. Octets are characters of latin1.

import { LINE_BYTES_MAX, Reader, type Token } from '../reader.ts'

/** What a client said, content in one piece. `open`: content whose end did not come. */
export type Said =
  | { kind: 'line'; text: string }
  | { kind: 'fault'; fault: string }
  | { kind: 'content'; text: string; bare: boolean }
  | { kind: 'open'; text: string }

/** What follows a line, decided by a stand-in for the session: `D` begins a mail, `B<n>` announces octets. */
const follows = (line: string): 'mail' | number | undefined =>
  line === 'D' ? 'mail' : /^B\d$/.test(line) ? Number(line.slice(1)) : undefined

/** The obvious reading. */
export function reference(input: string): Said[] {
  const said: Said[] = []
  let rest = input
  while (rest !== '') {
    if (rest.startsWith('\x16\x03')) return [...said, { kind: 'fault', fault: 'client_hello' }]
    const lineEnd = rest.indexOf('\n') + 1
    if ((lineEnd === 0 ? rest.length : lineEnd) > 4096) return [...said, { kind: 'fault', fault: 'endless' }]
    if (lineEnd === 0) return said
    const line = rest.slice(0, lineEnd)
    rest = rest.slice(lineEnd)
    const fault = faultOf(line)
    if (fault !== undefined) {
      said.push({ kind: 'fault', fault })
      continue
    }
    const text = line.slice(0, -2)
    said.push({ kind: 'line', text })
    const next = follows(text)
    if (typeof next === 'number') {
      if (rest.length < next) return [...said, { kind: 'open', text: rest }]
      said.push({ kind: 'content', text: rest.slice(0, next), bare: false })
      rest = rest.slice(next)
    } else if (next === 'mail') {
      const raw = mailOf(rest)
      if (raw === undefined) return [...said, { kind: 'open', text: unstuffed(rest) }]
      said.push({ kind: 'content', text: unstuffed(raw), bare: /\r(?!\n)|(?<!\r)\n/.test(raw) })
      rest = rest.slice(raw.length + 3)
    }
  }
  return said
}

function faultOf(line: string): string | undefined {
  if (line.length > LINE_BYTES_MAX) return 'too_long'
  if (!line.endsWith('\r\n')) return 'bare_lf'
  return /[^\t\x20-\x7e\x80-\xff]/.test(line.slice(0, -2)) ? 'control' : undefined
}

/** Up to the end that RFC 5321 4.1.1.4 defines, still with its doubled dots. */
function mailOf(rest: string): string | undefined {
  if (rest.startsWith('.\r\n')) return ''
  const end = rest.indexOf('\r\n.\r\n')
  return end === -1 ? undefined : rest.slice(0, end + 2)
}

const unstuffed = (raw: string): string => `\r\n${raw}`.replaceAll('\r\n.', '\r\n').slice(2)

/** The reader's own reading of the same octets in these chunks. */
export function readInChunks(chunks: readonly Buffer[]): Said[] {
  const reader = new Reader()
  const said: Said[] = []
  const open: string[] = []
  let inside = false
  const take = (token: Token): void => {
    switch (token.kind) {
      case 'line': {
        const text = token.line.toString('latin1')
        said.push({ kind: 'line', text })
        const next = follows(text)
        inside = next !== undefined
        if (next === 'mail') reader.readMail()
        else if (next !== undefined) reader.readOctets(next)
        return
      }
      case 'fault':
        return void said.push({ kind: 'fault', fault: token.fault })
      case 'content':
        return void open.push(token.octets.toString('latin1'))
      case 'end':
        inside = false
        return void said.push({ kind: 'content', text: open.splice(0).join(''), bare: token.bare })
    }
  }
  for (const chunk of chunks) {
    reader.push(chunk)
    for (let token = reader.next(); token !== undefined; token = reader.next()) take(token)
  }
  if (inside) said.push({ kind: 'open', text: open.join('') })
  return said
}

/** Whether two readings agree. Of a mail without an end the reader may hold back what could still belong to the end: `.` and `.CR`. */
export function agree(read: readonly Said[], want: readonly Said[]): boolean {
  return (
    read.length === want.length &&
    want.every((each, index) => {
      const its = read[index]
      if (its?.kind !== each.kind) return false
      if (its.kind === 'open' && each.kind === 'open') {
        return each.text.startsWith(its.text) && ['', '\r'].includes(each.text.slice(its.text.length))
      }
      return JSON.stringify(its) === JSON.stringify(each)
    })
  )
}
