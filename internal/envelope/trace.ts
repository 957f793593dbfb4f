// W3C Trace Context, level 1: the `traceparent` header's four fields.

const TRACEPARENT = /^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/

/** The 32 hex digits that name the whole trace; the id that the 250 reply quotes. Throws on anything else. */
export function traceIdOf(traceparent: string): string {
  const id = TRACEPARENT.exec(traceparent)?.[1]
  if (id === undefined) throw new TypeError(`not a traceparent: ${JSON.stringify(traceparent)}`)
  return id
}
