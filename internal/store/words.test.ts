import { expect, test } from 'vitest'
import { wordsOf } from './words.ts'

test('ASCII is cut as any other text is', () => {
  const characters = String.fromCharCode(...Array(128).keys())
  const text = `${characters} a${characters}b ${'x'.repeat(300)} _1_ O'Neil x:y`
  expect(wordsOf(text)).toEqual(wordsOf(`${text} ж`).slice(0, -1))
})

test('a word is not cut within a character', () => {
  const [word = ''] = wordsOf(`a${'\u{1d400}'.repeat(200)}`)
  expect(word.isWellFormed()).toBe(true)
  expect(word).toHaveLength(255)
})
