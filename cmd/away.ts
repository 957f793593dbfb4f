// Which failures to open the database mean that it is away for now, and which that a setting is wrong.

/** Classes of SQLSTATE (PostgreSQL, appendix A): connection, resources, shutdown and start. And what sockets and names say. */
const AWAY_CODE =
  /^(08|53|57P)|^(ECONNREFUSED|ECONNRESET|ETIMEDOUT|EPIPE|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|EAI_AGAIN|ENOTFOUND)$/
/** The driver's own errors have no code. */
const AWAY_TEXT = /^Connection terminated|^timeout|^Query read timeout/i

/** Whether waiting may mend `error`: a wrong password, a database that is not there or a missing right never mend by themselves. */
export function isAway(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause) {
    const code = 'code' in each && typeof each.code === 'string' ? each.code : ''
    if (AWAY_CODE.test(code) || (code === '' && AWAY_TEXT.test(each.message))) return true
  }
  return false
}
