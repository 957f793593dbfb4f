// YAML of plain values, as much of it as rule files need (YAML 1.2).

type Plain = string | number | boolean | readonly Plain[] | { readonly [name: string]: Plain }

/** Text with line ends is a block, other text is quoted as in JSON, which YAML allows. */
export function yamlOf(value: Plain, indent = 0): string {
  const pad = ' '.repeat(indent)
  if (isList(value)) return value.map((item) => `${pad}- ${yamlOf(item, indent + 2).trimStart()}`).join('')
  if (typeof value !== 'object') return `${scalar(value, indent)}\n`
  return Object.entries(value)
    .map(([name, item]) =>
      isNested(item) ? `${pad}${name}:\n${yamlOf(item, indent + 2)}` : `${pad}${name}: ${scalar(item, indent + 2)}\n`,
    )
    .join('')
}

const isList = (value: Plain): value is readonly Plain[] => Array.isArray(value)
const isNested = (value: Plain): value is Exclude<Plain, string | number | boolean> =>
  typeof value === 'object' && Object.keys(value).length > 0

function scalar(value: Plain, indent: number): string {
  if (typeof value === 'string' && value.includes('\n')) {
    return `|-\n${value.replaceAll(/^(?=.)/gm, ' '.repeat(indent))}`
  }
  if (typeof value === 'object') return '[]'
  return typeof value === 'string' &&
    /^[A-Za-z][\w-]*$/.test(value) &&
    !/^(true|false|null|yes|no|on|off)$/i.test(value)
    ? value
    : JSON.stringify(value)
}
