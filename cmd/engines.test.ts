// What readiness asks of the engines.

import { expect, test } from 'vitest'
import { TOPICS } from '../internal/eventlog/eventlog.ts'
import { mailFlows } from './engines.ts'

test.each(TOPICS.map((topic) => ({ topic, flows: topic === 'mail.refusals.v1' })))(
  'without the topic $topic mail flows: $flows',
  async ({ topic: missing, flows }) => {
    const ends = async (topic: string) => {
      if (topic === missing) throw new Error('no topic')
      return []
    }
    const asked = await Promise.allSettled([mailFlows({ ends })])
    expect(asked.map(({ status }) => status)).toEqual([flows ? 'fulfilled' : 'rejected'])
  },
)
