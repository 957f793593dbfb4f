// Completion scripts, written from the command tree: static, so that a Tab costs no process.

import type { Command } from 'commander'
import { CliError } from './exit.ts'
import type { Call } from './tree.ts'

export const SHELLS = ['bash', 'zsh', 'fish'] as const

/** One place in the tree: the words that lead there, and what may follow. */
interface Place {
  path: readonly string[]
  words: readonly (readonly [word: string, meaning: string])[]
  options: readonly (readonly [option: string, meaning: string])[]
}

const firstLine = (text: string): string => (text.split('\n')[0] ?? '').replaceAll(/['"`$\\:]/g, '')

function optionsOf(command: Command): [string, string][] {
  const own = command.parent === null ? [] : command.parent.parent === null ? [command.parent] : [command.parent.parent]
  return [command, ...own].flatMap((each) =>
    each.options
      .filter((option) => !option.hidden)
      .map((option): [string, string] => [option.long ?? option.short ?? '', firstLine(option.description)]),
  )
}

/** Every place in the tree, aliases included. */
export function placesOf(program: Command): Place[] {
  const walk = (command: Command, path: readonly string[]): Place[] => {
    const words = command.commands.flatMap((each) =>
      [each.name(), ...each.aliases()].map((name): [string, string] => [name, firstLine(each.description())]),
    )
    const inside = command.commands.flatMap((each) =>
      [each.name(), ...each.aliases()].flatMap((name) => walk(each, [...path, name])),
    )
    return [{ path, words, options: [...optionsOf(command), ['--help', 'help for this command']] }, ...inside]
  }
  return walk(program, [])
}

const names = (pairs: readonly (readonly [string, string])[]): string => pairs.map(([name]) => name).join(' ')

function bash(places: readonly Place[]): string {
  const known = places.filter(({ path }) => path.length > 0).map(({ path }) => `'${path.join(' ')}'`)
  const cases = places.map(
    ({ path, words, options }) => `    '${path.join(' ')}') words='${names(words)}'; options='${names(options)}' ;;`,
  )
  return `# ingestctl completion for bash: source <(ingestctl completion bash)
_ingestctl() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" path='' next word words='' options=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="\${path:+$path }$word"
    case "$next" in
      ${known.join('|')}) path="$next" ;;
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  case "$cur" in
    -*) words="$options" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _ingestctl ingestctl
`
}

function zsh(places: readonly Place[]): string {
  const known = places.filter(({ path }) => path.length > 0).map(({ path }) => `'${path.join(' ')}'`)
  const pairs = (list: Place['words']) => list.map(([name, meaning]) => `'${name}:${meaning}'`).join(' ')
  const cases = places.map(
    ({ path, words, options }) => `    '${path.join(' ')}') verbs=(${pairs(words)}); opts=(${pairs(options)}) ;;`,
  )
  return `#compdef ingestctl
# ingestctl completion for zsh: source <(ingestctl completion zsh)
_ingestctl() {
  local at='' next word
  local -a verbs opts
  for word in "\${(@)words[2,CURRENT-1]}"; do
    next="\${at:+$at }$word"
    case "$next" in
      ${known.join('|')}) at="$next" ;;
    esac
  done
  case "$at" in
${cases.join('\n')}
  esac
  if [[ "\${words[CURRENT]}" == -* ]]; then
    _describe -o 'option' opts
  elif (( \${#verbs} )); then
    _describe 'command' verbs
  else
    _files
  fi
}
compdef _ingestctl ingestctl
`
}

function fish(places: readonly Place[]): string {
  const known = places.filter(({ path }) => path.length > 0).map(({ path }) => `'${path.join(' ')}'`)
  const lines = places.flatMap(({ path, words, options }) => {
    const here = `complete -c ingestctl -n "test (__ingestctl_path) = '${path.join(' ')}'"`
    const verbs = words.map(([name, meaning]) => `${here} -f -a '${name}' -d '${meaning}'`)
    const flags = options
      .filter(([name]) => name.startsWith('--'))
      .map(([name, meaning]) => `${here} -l '${name.slice(2)}' -d '${meaning}'`)
    return [...verbs, ...flags]
  })
  return `# ingestctl completion for fish: ingestctl completion fish | source
function __ingestctl_path
  set -l at ''
  for word in (commandline -opc)[2..]
    set -l next (string trim -- "$at $word")
    if contains -- $next ${known.join(' ')}
      set at $next
    end
  end
  echo "'$at'" | string trim -c "'"
end
${lines.join('\n')}
`
}

const SCRIPTS: Record<(typeof SHELLS)[number], (places: readonly Place[]) => string> = { bash, zsh, fish }

/** The script for a shell; `usage` for one we do not know. */
export function completionScript(program: Command, shell: string): string {
  const known = SHELLS.find((each) => each === shell)
  if (known === undefined)
    throw new CliError('usage', `completion is for ${SHELLS.join(', ')}, not ${JSON.stringify(shell)}`)
  return SCRIPTS[known](placesOf(program))
}

export const completion =
  (program: Command) =>
  async (call: Call): Promise<void> => {
    await call.output.data(completionScript(program, call.args[0] ?? ''))
  }
