import { describe, expect, test } from 'vitest'
import { isPlainAddress, parseMailbox, parsePath } from './address.ts'

const key = (text: string): string | undefined => {
  const mailbox = parseMailbox(text)
  return mailbox && `${mailbox.local}@${mailbox.domain}`
}
const a = (count: number): string => 'a'.repeat(count)
const labels = (octets: number): string => `${a(63)}.`.repeat(4).slice(0, octets)

describe('mailbox', () => {
  test.each([
    ['ann@example.org', 'ann@example.org', '5321 4.1.2 plain'],
    ['Ann.B+tag@Example.ORG', 'Ann.B+tag@example.org', '5321 2.4 the case of the domain means nothing'],
    ["o'neil/x=1?{}|~^`!#$%&*@d.example", "o'neil/x=1?{}|~^`!#$%&*@d.example", '5322 3.2.3 every atext'],
    ['"abc"@d.example', 'abc@d.example', '5321 4.1.2 quoting is not part of the name'],
    ['"john doe"@d.example', 'john doe@d.example', '5321 4.1.2 a blank in quotes'],
    ['"a\\"b\\\\c"@d.example', 'a"b\\c@d.example', '5321 4.1.2 quoted pairs'],
    ['"x@y"@d.example', 'x@y@d.example', '5321 4.1.2 an at sign in quotes'],
    ['"<>"@d.example', '<>@d.example', '5321 4.1.2 brackets in quotes'],
    ['""@d.example', '@d.example', '5321 4.1.2 the empty quoted string'],
    ['a@localhost', 'a@localhost', '5321 4.1.2 one label'],
    ['u@[192.0.2.9]', 'u@[192.0.2.9]', '5321 4.1.3 IPv4 literal'],
    ['u@[IPv6:2001:DB8::1]', 'u@[ipv6:2001:db8::1]', '5321 4.1.3 IPv6 literal'],
    ['user%other@d.example', 'user%other@d.example', '5321 3.6.1 never rewritten'],
    ['ann@bücher.example', 'ann@xn--bcher-kva.example', '6531 3.2 U-labels'],
    ['ann@bücher.example/x', undefined, '6531 3.3 no ASCII beyond letters, digits, dashes and dots'],
    ['ann@bücher.example?x', undefined, '6531 3.3'],
    ['ann@b%41ücher.example', undefined, '6531 3.3'],
    ['ann@BÜCHER.example', 'ann@xn--bcher-kva.example', '5895 2 case before mapping'],
    ['ann@xn--bcher-kva.example', 'ann@xn--bcher-kva.example', '5890 2.3.2.1 A-labels as they are'],
    ['jörg@d.example', 'jörg@d.example', '6531 3.3 UTF-8 local part'],
    [`${a(64)}@d.example`, `${a(64)}@d.example`, '5321 4.5.3.1.1 at the limit'],
    [`${a(65)}@d.example`, undefined, '5321 4.5.3.1.1 over the limit'],
    [`${'ö'.repeat(33)}@d.example`, undefined, '5321 4.5.3.1.1 counts octets'],
    [`u@${labels(255)}`, `u@${labels(255)}`, '5321 4.5.3.1.2 at the limit'],
    [`u@${labels(255)}a`, undefined, '5321 4.5.3.1.2 over the limit'],
    [`u@${a(64)}.example`, undefined, '1035 2.3.4 label of 64 octets'],
    ['u@host.', undefined, '5321 4.1.2 trailing dot'],
    ['u@host..x', undefined, '5321 4.1.2 empty label'],
    ['u@-host.x', undefined, '5321 4.1.2 label begins with a dash'],
    ['u@1.2.3.4', undefined, '5321 4.1.3 an address without brackets'],
    ['u@１.２.３.４', undefined, 'full-width digits do not become an address'],
    ['u@[1.2.3.999]', undefined, '5321 4.1.3 no address'],
    ['u@[2001:db8::1]', undefined, '5321 4.1.3 IPv6 without its tag'],
    ['u@[IPv6:x]', undefined, '5321 4.1.3 no address'],
    ['.u@d.example', undefined, '5321 4.1.2 Dot-string'],
    ['u.@d.example', undefined, '5321 4.1.2 Dot-string'],
    ['u..v@d.example', undefined, '5321 4.1.2 Dot-string'],
    ['"abc@d.example', undefined, '5321 4.1.2 unbalanced quote'],
    ['"a"b"@d.example', undefined, '5321 4.1.2 a bare quote inside quotes'],
    ['john doe@d.example', undefined, '5321 4.1.2 a blank outside quotes'],
    ['a@b@d.example', undefined, '5321 4.1.2 two at signs'],
    ['@d.example', undefined, '5321 4.1.2 no local part'],
    ['ann', undefined, '5321 4.1.2 no domain'],
    ['ann@', undefined, '5321 4.1.2 empty domain'],
    ['ann@d.example\r\nRCPT TO:<b@c>', undefined, 'command injection'],
    ['a\u0000b@d.example', undefined, '5321 4.1.2 control character'],
    ['"a\u0007"@d.example', undefined, '5321 4.1.2 control character in quotes'],
    ['a\u0085b@d.example', undefined, '6530 10.1 C1 control character'],
    ['a\ufffdb@d.example', undefined, 'what malformed UTF-8 was decoded to'],
  ])('%j is %j (%s)', (given, want, _why) => {
    expect(key(given)).toBe(want)
  })
})

test.each([
  ['Ann.B+tag@example.org', true, '5321 4.1.2 Dot-string'],
  ['"ann"@example.org', true, '5321 4.1.2 quotes that it does not need'],
  ['ann@bücher.example', true, '6531 3.2 the domain is written in A-labels'],
  ['"a b"@example.org', false, '5321 4.1.2 needs quotes'],
  ['".a"@example.org', false, '5321 4.1.2 needs quotes'],
  ['jörg@example.org', false, '6531 3.3 needs SMTPUTF8'],
  ['ann', false, 'no mailbox'],
])('%j is plain: %j (%s)', (given, want, _why) => {
  expect(isPlainAddress(given)).toBe(want)
})

describe('path', () => {
  test.each([
    ['', null, '5321 4.5.5 null reverse-path'],
    ['Postmaster', { local: 'Postmaster', domain: '', text: 'Postmaster' }, '5321 4.1.1.3 bare postmaster, any case'],
    ['@r1.example,@r2.example:u@d.example', parseMailbox('u@d.example'), '5321 F.2 source route is dropped'],
    ['@r1.example:', undefined, '5321 4.1.2 a route to nowhere'],
    ['bob', undefined, '5321 4.1.2 no domain'],
    [
      `${a(64)}@${labels(189)}`,
      parseMailbox(`${a(64)}@${labels(189)}`),
      '5321 4.5.3.1.3 at the limit: 254 and two brackets',
    ],
    [`${a(64)}@${labels(190)}`, undefined, '5321 4.5.3.1.3 over the limit'],
  ])('%j is %j (%s)', (given, want, _why) => {
    expect(parsePath(given)).toEqual(want)
  })
})
