// docs/cli.md: the command line as a document, made from the command tree.

import type { Command, Option } from 'commander'
import { EXITS } from './exit.ts'
import { KINDS } from './samples.ts'
import { examplesOf } from './tree.ts'

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

function optionRow(option: Option): string {
  const fallback = option.defaultValue === undefined || option.defaultValue === true || option.defaultValue === false
  const shown = fallback ? '' : ` (default ${JSON.stringify(option.defaultValue)})`
  return `| \`${cell(option.flags)}\` | ${cell(option.description)}${shown} |`
}

const optionTable = (options: readonly Option[]): string[] =>
  options.length === 0 ? [] : ['| option | meaning |', '| --- | --- |', ...options.map(optionRow), '']

function fullName(command: Command): string {
  return command.parent === null ? command.name() : `${fullName(command.parent)} ${command.name()}`
}

function verbSection(command: Command): string[] {
  const args = command.registeredArguments.map((each) => {
    const name = each.variadic ? `${each.name()}...` : each.name()
    return each.required ? `<${name}>` : `[${name}]`
  })
  const examples = (examplesOf.get(command) ?? []).map(([line, meaning]) => `ingestctl ${line}   # ${meaning}`)
  const shown = command.options.filter((each) => !each.hidden)
  return [
    `### ${[fullName(command), ...args].join(' ')}`,
    '',
    `${command.description()}.`,
    '',
    ...optionTable(shown),
    '```sh',
    ...examples,
    '```',
    '',
  ]
}

function nounSection(command: Command): string[] {
  const alias = command.alias() === undefined || command.alias() === '' ? '' : ` (also \`${command.alias()}\`)`
  return [`## ${command.name()}${alias}`, '', `${command.description()}.`, '', ...command.commands.flatMap(verbSection)]
}

/** The whole reference: commands, options, examples, exit statuses. */
export function cliReferenceMarkdown(program: Command): string {
  const nouns = program.commands.filter((each) => each.commands.length > 0)
  const single = program.commands.filter((each) => each.commands.length === 0 && each.name() !== 'help')
  const exits = Object.values(EXITS).map(({ status, meaning }) => `| ${status} | ${meaning} |`)
  return [
    '# The command line: ingestctl',
    '',
    'Generated from `internal/cli` by `make docs`. `bin/ingestctl` runs from a checkout; `ingestctl NOUN` alone prints what a noun can do.',
    'Data goes to stdout, everything else to stderr. What comes from mail is stripped of control characters, escapes and bidirectional',
    'controls before it is shown to people, and escaped in JSON. Times are UTC; `--from` and `--to` take `1h` (ago) or ISO 8601.',
    'The spool is read without a lock, so its commands work beside running daemons and without them.',
    '',
    '## Options of every command',
    '',
    ...optionTable(program.options.filter((each) => !each.hidden)),
    '## Exit statuses',
    '',
    '| status | meaning |',
    '| --- | --- |',
    ...exits,
    '',
    '## JSON of a message',
    '',
    '`messages list --json` prints an array, `messages show ID --json` one object, `--ndjson` one object a line. Fields are added, never renamed:',
    '`id`, `entryId`, `tenant`, `mailbox`, `status` (RECEIVED, STORED, PARSED, FAILED, QUARANTINED, DUPLICATE), `messageId` (the header),',
    '`subject`, `from` (a text, `Name <address>`, several joined by commas), `to` and `cc` (arrays of such texts), `date`, `receivedAt`, `indexedAt`, `sizeBytes`,',
    '`sha256` (of the bytes as received), `traceId`, `documents` (`id`, `filename`, `contentType`, `sizeBytes`, `sha256`), `reason`, `detail`, `synthetic`,',
    '`duplicateOf`, `forced`, `threadId`, `mailFrom`, `recipients`, `clientAddress`, `snippet`, `flags`, `parser`, `contentHash`, `rawKey`, `metaKey`.',
    'What is not known is null, or an empty list.',
    '',
    '## Kinds of test mail',
    '',
    '| kind | what it is |',
    '| --- | --- |',
    ...Object.entries(KINDS).map(([kind, { about }]) => `| \`${kind}\` | ${cell(about)} |`),
    '',
    ...nouns.flatMap(nounSection),
    '## More commands',
    '',
    ...single.flatMap(verbSection),
  ]
    .join('\n')
    .trimEnd()
    .concat('\n')
}
