// What an HTML part shows, as text. Only the tokenizer is used: it is linear, and has no stack of elements to grow or to search.

import { Tokenizer, type TokenizerCallbacks } from 'htmlparser2'

const BLOCKS = new Set(
  'address article aside blockquote br center dd div dl dt fieldset figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol option p pre section table tbody tr ul'.split(
    ' ',
  ),
)
const CELLS = new Set(['td', 'th'])
/** Their content is not shown. The tokenizer takes all of it as text up to the closing tag. */
const HIDDEN = new Set(['script', 'style', 'title', 'noembed', 'noframes', 'iframe', 'xmp'])

const nothing = (): void => {}

/** No longer than `html`; blanks are not folded. */
export function htmlText(html: string): string {
  const out: string[] = []
  let hidden = ''
  const put = (text: string): void => {
    if (hidden === '') out.push(text)
  }
  const separate = (tag: string): void => {
    if (BLOCKS.has(tag)) put('\n')
    else if (CELLS.has(tag)) put(' ')
  }
  const nameAt = (start: number, end: number): string => html.slice(start, Math.min(end, start + 20)).toLowerCase()
  const callbacks: TokenizerCallbacks = {
    ontext: (start, end) => put(html.slice(start, end)),
    ontextentity: (codepoint) => put(String.fromCodePoint(codepoint)),
    onopentagname: (start, end) => {
      const tag = nameAt(start, end)
      separate(tag)
      if (hidden === '' && HIDDEN.has(tag)) hidden = tag
    },
    onclosetag: (start, end) => {
      const tag = nameAt(start, end)
      if (tag === hidden) hidden = ''
      separate(tag)
    },
    onattribdata: nothing,
    onattribentity: nothing,
    onattribend: nothing,
    onattribname: nothing,
    oncdata: nothing,
    oncomment: nothing,
    ondeclaration: nothing,
    onend: nothing,
    onopentagend: nothing,
    onprocessinginstruction: nothing,
    onselfclosingtag: nothing,
  }
  const tokenizer = new Tokenizer({ decodeEntities: true }, callbacks)
  tokenizer.write(html)
  tokenizer.end()
  return out.join('')
}
