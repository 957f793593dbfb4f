// The last line of a test run: `N passed, N failed`, which CI and people read. Vitest's own reporter prints the rest.
import type { Reporter, TestModule } from 'vitest/node'

export default class Summary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()])
    const broken = modules.filter(
      (module) => module.state() === 'failed' && [...module.children.allTests('failed')].length === 0,
    )
    const passed = tests.filter((each) => each.result().state === 'passed').length
    const failed = tests.filter((each) => each.result().state === 'failed').length + broken.length + unhandled.length
    process.on('exit', () => process.stdout.write(`${passed} passed, ${failed} failed\n`))
  }
}
