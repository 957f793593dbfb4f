// topics: what the cluster has, what it should have, and the steps between.

import { stepText, type TopicStep } from '../eventlog/eventlog.ts'
import type { Exit } from './exit.ts'
import { CliError } from './exit.ts'
import type { Column } from './output.ts'
import type { Call } from './tree.ts'

export interface TopicOptions {
  acceptReordering?: boolean
}

const COLUMNS: readonly Column<TopicStep>[] = [
  { head: 'STEP', of: ({ do: step }) => step, paint: ({ do: step }) => (step === 'refuse' ? 'red' : 'green') },
  { head: 'WHAT', of: stepText },
]

const stepJson = (step: TopicStep): object => ({ do: step.do, topic: step.topic.name, what: stepText(step) })

/** Lists the steps; `conflict` when one is refused. */
export async function plan(call: Call<TopicOptions>): Promise<Exit> {
  const topics = await call.context.engines.topics()
  const steps = await topics.plan({ acceptReordering: call.options.acceptReordering === true })
  await call.output.rows(steps, COLUMNS, stepJson)
  if (steps.length === 0) call.output.note('every topic is as wanted')
  return steps.some((step) => step.do === 'refuse') ? 'conflict' : 'ok'
}

/** Takes the steps. A refusal stops all of them. */
export async function apply(call: Call<TopicOptions>): Promise<void> {
  const topics = await call.context.engines.topics()
  const steps = await topics.plan({ acceptReordering: call.options.acceptReordering === true })
  const refused = steps.find((step) => step.do === 'refuse')
  if (refused !== undefined) throw new CliError('conflict', `nothing was changed: ${stepText(refused)}`)
  await topics.apply(steps)
  await call.output.rows(steps, COLUMNS, stepJson)
  if (steps.length === 0) call.output.note('every topic was as wanted')
}
