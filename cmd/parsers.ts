// What the settings say of parsers: the indexer's, and those of a dry run, which must judge as the indexer does.

import type { Config } from '../internal/config/config.ts'
import type { PoolOptions } from '../internal/message/message.ts'

export const parserLimits = (config: Config): Pick<PoolOptions, 'deadlineMs' | 'memoryMaxBytes' | 'limits'> => ({
  deadlineMs: config.parserDeadlineMs,
  memoryMaxBytes: config.parserMemoryMax,
  limits: { partsMax: config.mimePartsMax, depthMax: config.mimeDepthMax, headerBytesMax: config.mimeHeaderMax },
})
