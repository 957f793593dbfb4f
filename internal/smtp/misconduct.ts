// How much a client may do wrong before we hang up: 421, so that a client that means well comes again and begins anew.

import { reply, type Reply } from './replies.ts'

/** Commands that nobody knows. */
const UNKNOWN_MAX = 10
/** Errors of syntax and order in all; Postfix's `smtpd_hard_error_limit`. */
const ERRORS_MAX = 20
/** Commands that bring no mail nearer; those beyond are errors. Postfix's `smtpd_junk_command_limit`. */
const IDLE_COMMANDS_MAX = 100
const IDLE_COMMANDS = new Set(['NOOP', 'RSET', 'VRFY', 'HELP', 'EXPN', 'EHLO', 'HELO'])

/** Counts of one session, which every accepted mail sets to zero. */
export class Misconduct {
  #unknown = 0
  #errors = 0
  #idle = 0

  /** A mail was accepted. */
  forgive(): void {
    this.#unknown = 0
    this.#errors = 0
    this.#idle = 0
  }

  /** What is answered in the end: `answer`, or that it is enough. */
  judge(verb: string, answer: Reply): Reply {
    if (IDLE_COMMANDS.has(verb)) this.#idle += 1
    if (isError(answer) || (IDLE_COMMANDS.has(verb) && this.#idle > IDLE_COMMANDS_MAX)) this.#errors += 1
    if (answer.code === 500) this.#unknown += 1
    const enough = this.#errors >= ERRORS_MAX || this.#unknown >= UNKNOWN_MAX
    return enough && answer.closes !== true ? reply('too_many_errors') : answer
  }
}

/** Syntax and order (RFC 5321 4.2.2); a refused recipient is no such error. */
const isError = ({ code }: Reply): boolean => (code >= 500 && code <= 504) || code === 555
