import { describe, expect, test } from 'vitest'
import { GIVE_UP_MS, nextTry, outcomeOf, PAUSES_MS } from './schedule.ts'

const MINUTE_MS = 60_000
const FIRST = '00000000-0000-5000-8000-000000000000'
const LAST = '00000000-0000-5000-8000-0000ffffffff'

describe('the next try', () => {
  test.each([
    [1, 1],
    [2, 5],
    [3, 15],
    [4, 30],
    [7, 240],
    [50, 240],
    [0, 1],
  ])('after %i tries comes in %i minutes, spread over a tenth', (attempts, minutes) => {
    const at = (id: string) => nextTry({ id, attempts, createdAt: 0, now: 1000 })
    expect(at(LAST)).toBe(1000 + minutes * MINUTE_MS)
    expect(at(FIRST)).toBe(1000 + minutes * MINUTE_MS * 0.9)
  })

  test('there is none after five days (5321 4.5.4.1), and the tries until then are few', () => {
    let now = 0
    let attempts = 0
    for (let next: number | undefined = 0; next !== undefined; attempts++) {
      now = next
      next = nextTry({ id: LAST, attempts: attempts + 1, createdAt: 0, now })
    }
    expect(now).toBeGreaterThanOrEqual(GIVE_UP_MS)
    expect(now).toBeLessThan(GIVE_UP_MS + (PAUSES_MS.at(-1) ?? 0))
    expect(attempts).toBeLessThan(50)
  })
})

describe('what a try came to', () => {
  const error = (facts: object) => Object.assign(new Error('what nodemailer says'), facts)
  test.each([
    [{ command: 'RCPT TO', responseCode: 550, response: '550 5.1.1 nobody' }, 'refused', '5321 4.2.1'],
    [{ command: 'MAIL FROM', responseCode: 553, response: '553 no' }, 'refused', '5321 4.2.1'],
    [{ command: 'DATA', responseCode: 554, response: '554 no' }, 'refused', '5321 4.2.1'],
    [{ command: 'DATA', responseCode: 451, response: '451 later' }, 'deferred', '5321 4.2.1'],
    [{ command: 'RCPT TO', responseCode: 452, response: '452 later' }, 'deferred', '5321 4.2.1'],
    [{ command: 'MAIL FROM', responseCode: 530, response: '530 5.7.0 log in' }, 'unreachable', '4954 6: about us'],
    [{ command: 'AUTH PLAIN', responseCode: 535, response: '535 5.7.8 no' }, 'unreachable', '4954 6: about us'],
    [{ command: 'CONN', responseCode: 554, response: '554 go away' }, 'unreachable', '5321 3.1: about us'],
    [{ command: 'EHLO', responseCode: 550, response: '550 no' }, 'unreachable', 'about us'],
    [{ command: 'STARTTLS', responseCode: 502, response: '502 no' }, 'unreachable', 'about us'],
    [{ command: 'CONN', code: 'ETIMEDOUT' }, 'unreachable', 'no answer'],
    [{ code: 'ECONNREFUSED' }, 'unreachable', 'nobody there'],
    [{ command: 'DATA' }, 'unreachable', 'cut off'],
  ])('%j is %s (%s)', (facts, result, _why) => {
    expect(outcomeOf(error(facts)).result).toBe(result)
  })

  test('the reply is one line, and bounded', () => {
    const response = `550-a\r\n550 b\u001b[31m ${'x'.repeat(9000)}`
    const { reply } = outcomeOf(error({ command: 'DATA', responseCode: 550, response }))
    expect(reply).toMatch(/^550-a 550 b \[31m x+$/)
    expect(reply).toHaveLength(500)
    expect(outcomeOf('thrown')).toEqual({ result: 'unreachable', reply: 'thrown' })
  })
})
