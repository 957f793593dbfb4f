// The Date header. Never the platform's own parser: it guesses, and reads a date without zone in the zone of this machine.

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
/** Hours, RFC 5322 4.3. Other names mean nothing and are read as UTC. */
const ZONES: Readonly<Record<string, number>> = {
  edt: -4,
  est: -5,
  cdt: -5,
  cst: -6,
  mdt: -6,
  mst: -7,
  pdt: -7,
  pst: -8,
}

const FIRST_YEAR = 1970
const LAST_YEAR = 2100
const DATE_MAX = 200

const TIME = String.raw`(?<hour>\d{1,2})[:.](?<minute>\d{2})(?:[:.](?<second>\d{2}))?`
const ZONE = String.raw`(?<zone>[+-]\d{2}:?\d{2}|[a-z]{1,5})?`
const FORMS = [
  // RFC 5322 3.3 and 4.3, also with dashes, as in old news.
  String.raw`^(?:[a-z]+[,.]?\s*)?(?<day>\d{1,2})[\s-]+(?<month>[a-z]{3})[a-z]*[\s-]+(?<year>\d{2,4})\s+${TIME}\s*${ZONE}`,
  // asctime, with the zone before or behind the year.
  String.raw`^[a-z]{3},?\s+(?<month>[a-z]{3})[a-z]*\s+(?<day>\d{1,2}),?\s+${TIME}\s+(?:[a-z]{1,5}\s+)?(?<year>\d{4})\s*${ZONE}`,
  // RFC 3339 5.6.
  String.raw`^(?<year>\d{4})-(?<month>\d{2})-(?<day>\d{2})[t\s]\s*${TIME}(?:\.\d{1,9})?\s*${ZONE}`,
].map((form) => new RegExp(form, 'i'))

/** ISO 8601 in UTC, or undefined if it is no date or outside 1970 to 2100. */
export function isoDate(header: string): string | undefined {
  const text = header
    .slice(0, DATE_MAX)
    .replace(/\([^()]*\)/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
  for (const form of FORMS) {
    const groups = form.exec(text)?.groups
    if (groups) return instant(groups)
  }
}

function instant(groups: Record<string, string | undefined>): string | undefined {
  const number = (name: string): number => Number(groups[name] ?? 0)
  const month = MONTHS.indexOf((groups['month'] ?? '').toLowerCase())
  const monthIndex = month >= 0 ? month : number('month') - 1
  const year = fullYear(groups['year'] ?? '')
  const [day, hour, minute, second] = [number('day'), number('hour'), number('minute'), number('second')]
  const inMonth = new Date(Date.UTC(year, monthIndex, day))
  if (inMonth.getUTCDate() !== day || inMonth.getUTCMonth() !== monthIndex) return
  if (hour > 23 || minute > 59 || second > 60) return
  // A leap second has no place in POSIX time: it counts as the second before.
  const localMs = Date.UTC(year, monthIndex, day, hour, minute, Math.min(second, 59))
  const at = new Date(localMs - offsetMinutes(groups['zone'] ?? '') * 60_000)
  const utcYear = at.getUTCFullYear()
  return utcYear >= FIRST_YEAR && utcYear <= LAST_YEAR ? at.toISOString() : undefined
}

/** RFC 5322 4.3: two digits are 1950 to 2049, three count from 1900. */
function fullYear(digits: string): number {
  const year = Number(digits)
  if (digits.length === 2) return year + (year < 50 ? 2000 : 1900)
  return digits.length === 3 ? year + 1900 : year
}

function offsetMinutes(zone: string): number {
  const numeric = /^([+-])(\d{2}):?(\d{2})$/.exec(zone)
  if (!numeric) return (ZONES[zone.toLowerCase()] ?? 0) * 60
  const minutes = Number(numeric[2]) * 60 + Number(numeric[3])
  return numeric[1] === '-' ? -minutes : minutes
}
