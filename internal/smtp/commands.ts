// The commands (RFC 5321 4.1.1, 3030 2): what each takes, what may follow it in one packet, and the step that answers it.

import { commandText, isAscii } from './arguments.ts'
import type { Challenge } from './auth.ts'
import type { Intake } from './intake.ts'
import { LINE_BYTES_MAX } from './reader.ts'
import { reply, type Reply } from './replies.ts'
import type { Session } from './session.ts'

interface Command {
  /** In capitals. */
  verb: string
  /** What follows the verb and a blank. */
  argument: string
  /** The whole line. */
  text: string
}

interface Row {
  argument?: 'none' | 'required'
  /** Nothing may be sent behind it before its reply (RFC 2920 3.1). */
  last?: true
  /** Its argument may hold UTF-8 (RFC 6531 3.3). */
  utf8?: true
  step(session: Session, command: Command): Promise<Reply | Intake | Challenge>
}

const say = (name: Parameters<typeof reply>[0]) => async (): Promise<Reply> => reply(name)
const greet = (extended: boolean) => (session: Session, command: Command) =>
  session.hello(command.argument.split(' ')[0] ?? '', extended)

const COMMANDS: Record<string, Row> = {
  EHLO: { argument: 'required', last: true, step: greet(true) },
  HELO: { argument: 'required', last: true, step: greet(false) },
  MAIL: { utf8: true, step: (session, { text }) => session.mail(text) },
  RCPT: { utf8: true, step: (session, { text }) => session.rcpt(text) },
  DATA: { argument: 'none', last: true, step: (session) => session.data() },
  BDAT: { step: (session, { argument }) => session.bdat(argument) },
  RSET: { argument: 'none', step: (session) => session.reset() },
  NOOP: { last: true, step: say('ok') },
  QUIT: { argument: 'none', last: true, step: say('bye') },
  VRFY: { argument: 'required', last: true, step: say('cannot_verify') },
  EXPN: { last: true, step: say('not_implemented') },
  HELP: { step: say('help') },
  STARTTLS: { argument: 'none', last: true, step: (session) => session.startTls() },
  AUTH: { argument: 'required', last: true, step: (session, { argument }) => session.auth(argument) },
  // Known, and not here (RFC 5321 4.2.4: 502, not 500).
  ETRN: { step: say('not_implemented') },
  TURN: { step: say('not_implemented') },
  // Nobody may speak for another host (Postfix's XCLIENT) but the balancers on the list, by PROXY.
  XCLIENT: { step: async (session) => reply(session.inTransaction ? 'nested_mail' : 'no_proxy') },
  XFORWARD: { step: async (session) => reply(session.inTransaction ? 'nested_mail' : 'no_proxy') },
}

/** A browser that was made to talk SMTP (cross-protocol requests). */
const HTTP = /^(?:GET|POST|PUT|HEAD|PATCH|DELETE|CONNECT|OPTIONS|TRACE) /i
/** A header where a command should be. */
const HEADER = /^[A-Za-z-]+:/

const CRLF_BYTES = 2

/** What a line says. */
export interface Spoken {
  verb: string
  answer: (session: Session) => Promise<Reply | Intake | Challenge>
}

export interface Circumstances {
  /** It is the first line of the session. */
  first: boolean
  /** More octets came behind it. */
  followed: boolean
}

/** Finds the step of a line; pure, up to calling the step. */
export function spoken(line: Buffer, { first, followed }: Circumstances): Spoken {
  if (line.length + CRLF_BYTES > LINE_BYTES_MAX && !/^AUTH /i.test(line.toString('latin1', 0, 5))) {
    return { verb: 'other', answer: say('too_long') }
  }
  const text = commandText(line)?.replace(/[ \t]+$/, '')
  const [, word = '', argument = ''] = /^([A-Za-z]+)(?: +(.*))?$/.exec(text ?? '') ?? []
  const verb = word.toUpperCase()
  const told = (name: Parameters<typeof reply>[0]): Spoken => ({ verb, answer: say(name) })
  if (text === undefined) return told('bad_encoding')
  const row = Object.hasOwn(COMMANDS, verb) ? COMMANDS[verb] : undefined
  if (row === undefined) {
    if (HTTP.test(text) || (first && HEADER.test(text))) return told('http')
    return told(first ? 'unknown_at_first' : 'unknown_command')
  }
  if (row.last === true && followed) return told('out_of_step')
  if (row.utf8 !== true && !isAscii(text)) return told('bad_encoding')
  if (row.argument === 'none' ? argument !== '' : row.argument === 'required' && argument === '')
    return told('bad_argument')
  return {
    verb,
    answer: async (session) => {
      const barred = session.barred(verb)
      return barred === undefined ? row.step(session, { verb, argument, text }) : reply(barred)
    },
  }
}
