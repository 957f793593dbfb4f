// Which statements a connection prepares: the server then parses and plans them once. Texts that hardly come again (lists of varying
// length) are sent as they are.

/** Begins a statement whose answer nobody needs; what only puts rows in needs no such mark. */
export const AHEAD = '/* ahead */ '

/** Whether a transaction may go on without the answer. */
export const goesAhead = (text: string): boolean =>
  text.startsWith(AHEAD) || (PUTS_IN.test(text) && !RETURNS.test(text))

const PUTS_IN = /^\s*insert into /
const RETURNS = /\sreturning /

/** A text is prepared when it comes for the third time. */
const USES_MIN = 3
/** Statements prepared on each connection; the program has fewer. */
const PREPARED_MAX = 300
/** Texts that are counted. */
const COUNTED_MAX = 2000

/** The name of a statement's text on every connection of a pool; undefined where it is not to be prepared. */
export function statementNames(): (text: string) => string | undefined {
  const uses = new Map<string, number>()
  const names = new Map<string, string>()
  return (text) => {
    const known = names.get(text)
    if (known !== undefined) return known
    const count = (uses.get(text) ?? 0) + 1
    if (count < USES_MIN || names.size >= PREPARED_MAX) {
      if (uses.size >= COUNTED_MAX) uses.clear()
      uses.set(text, count)
      return undefined
    }
    uses.delete(text)
    const name = `s${names.size + 1}`
    names.set(text, name)
    return name
  }
}
