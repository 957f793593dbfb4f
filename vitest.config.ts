// Three projects: `unit` is quick and runs in `make check`; `engines` installs the real engines, starts them and runs on them;
// `system` starts processes, crashes them and takes its time.
import { defineConfig } from 'vitest/config'

const slow = ['test/**/*.test.ts', '**/*.long.test.ts']
const quickChecks = ['test/tidy.test.ts', 'test/docs.test.ts', 'test/logs.test.ts', 'test/deploy.test.ts']

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{spool,internal,cmd,alerts}/**/*.test.ts', ...quickChecks],
          exclude: ['**/*.long.test.ts', '**/*.engine.test.ts', '**/node_modules/**'],
          testTimeout: 20_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'engines',
          include: ['**/*.engine.test.ts'],
          globalSetup: 'test/engines/install.ts',
          exclude: ['**/node_modules/**'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: 'system',
          include: slow,
          exclude: [...quickChecks, '**/*.engine.test.ts', '**/node_modules/**'],
          testTimeout: 600_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
