import { readdirSync } from 'node:fs'
import { expect, test } from 'vitest'
import { playDialog } from './testing/dialog.ts'

const DIALOGS = 'test/dialogs'

test.each(readdirSync(DIALOGS).filter((name) => name.endsWith('.smtp')))('%s', async (name) => {
  await playDialog(`${DIALOGS}/${name}`, (where, got, want) => expect({ where, is: got }).toEqual({ where, is: want }))
})
