// policy show, set: what a tenant makes of mail whose sender does not show who it is. A change reaches the SMTP listener with the next
// directory snapshot.

import {
  POLICY_ACTIONS,
  POLICY_RULES,
  type PolicyAction,
  type PolicyRule,
  type SenderPolicy,
} from '../envelope/envelope.ts'
import { getPolicy, setPolicy } from '../store/store.ts'
import { CliError } from './exit.ts'
import type { Call } from './tree.ts'

/** Options by the rule that they set. */
export interface PolicyOptions {
  unreachable?: string
  spfFail?: string
  dmarcReject?: string
  unauthenticated?: string
}

export async function show(call: Call): Promise<void> {
  const tenant = call.args[0] ?? ''
  await shown(call, tenant, await getPolicy(await call.context.engines.store('read'), tenant))
}

export async function set(call: Call<PolicyOptions>): Promise<void> {
  const { unreachable, spfFail, dmarcReject, unauthenticated } = call.options
  const given: [PolicyRule, string | undefined][] = [
    ['unreachable', unreachable],
    ['spf_fail', spfFail],
    ['dmarc_reject', dmarcReject],
    ['unauthenticated', unauthenticated],
  ]
  const rules = Object.fromEntries(
    given.flatMap(([rule, text]) => (text === undefined ? [] : [[rule, actionOf(text)]])),
  )
  if (Object.keys(rules).length === 0)
    throw new CliError('usage', 'nothing to set: give --unreachable, --spf-fail, --dmarc-reject or --unauthenticated')
  const store = await call.context.engines.store('write')
  const tenant = call.args[0] ?? ''
  const now = call.context.clock.now()
  await shown(call, tenant, await store.transaction((tx) => setPolicy(tx, tenant, { rules, now })))
}

function actionOf(text: string): PolicyAction {
  const action = POLICY_ACTIONS.find((each) => each === text)
  if (action !== undefined) return action
  throw new CliError('usage', `an action is one of ${POLICY_ACTIONS.join(', ')}, not ${JSON.stringify(text)}`)
}

async function shown(call: Call, tenant: string, policy: SenderPolicy): Promise<void> {
  const lines = Object.entries(POLICY_RULES).map(([rule, meaning]): [string, string] => {
    const action = policy[rule as PolicyRule]
    return [rule.replace('_', ' '), `${action.padEnd(10)} ${meaning}`]
  })
  await call.output.facts({ tenant, ...policy }, [['tenant', tenant], ...lines])
}
