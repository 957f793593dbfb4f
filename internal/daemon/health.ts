// What a process says about itself: alive (/healthz) and fit to take work (/readyz), as a list of named facts.

/** One thing that must hold for readiness. */
export interface Check {
  name: string
  /** Undefined when all is well, else one sentence. Must be quick: it runs on each request. */
  problem(): string | undefined
}

export interface Readiness {
  ready: boolean
  checks: Record<string, string>
}

/** Runs all checks; a check that throws counts as a problem. */
export function readiness(checks: readonly Check[]): Readiness {
  const results = checks.map((check) => [check.name, problemOf(check)] as const)
  return {
    ready: results.every(([, problem]) => problem === undefined),
    checks: Object.fromEntries(results.map(([name, problem]) => [name, problem ?? 'ok'])),
  }
}

function problemOf(check: Check): string | undefined {
  try {
    return check.problem()
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
