import { expect, test } from 'vitest'
import { isoDate } from './date.ts'

test.each([
  ['Mon, 3 Nov 2025 12:00:00 +0200 (CEST)', '2025-11-03T10:00:00.000Z', 'RFC 5322 3.3'],
  ['3 Nov 2025 12:00 GMT', '2025-11-03T12:00:00.000Z', 'no day of week, no seconds'],
  ['Mon, 03 Nov 97 09:55:06 EST', '1997-11-03T14:55:06.000Z', 'RFC 5322 4.3'],
  ['3 Nov 25 09:55:06 Z', '2025-11-03T09:55:06.000Z', 'two digits below 50'],
  ['3 Nov 2025 12:00:00', '2025-11-03T12:00:00.000Z', 'no zone: UTC, never the zone of this machine'],
  ['31 Dec 2016 23:59:60 +0000', '2016-12-31T23:59:59.000Z', 'a leap second'],
  ['Mon Nov  3 12:00:00 2025', '2025-11-03T12:00:00.000Z', 'asctime'],
  ['2025-11-03T12:00:00Z', '2025-11-03T12:00:00.000Z', 'RFC 3339 5.6'],
  ['29 Feb 2024 00:00:00 +0000', '2024-02-29T00:00:00.000Z', 'a leap day'],
  ['29 Feb 2025 00:00:00 +0000', undefined, 'a day that is none'],
  ['3 Nov 2025 25:00:00 +0000', undefined, 'an hour that is none'],
  ['3 Foo 2025 12:00:00 +0000', undefined, 'a month that is none'],
  ['3 Nov 9999999 12:00:00 +0000', undefined, 'a year of seven digits'],
  ['3 Nov 3609 12:00:00 +0000', undefined, 'a year to come'],
  ['31 Dec 1969 23:59:59 +0000', undefined, 'before 1970'],
  ['not a date', undefined, 'never now'],
  ['', undefined, 'empty'],
])('%j is %j (%s)', (header, want, _why) => expect(isoDate(header)).toBe(want))
