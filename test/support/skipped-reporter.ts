import type { Reporter, TestModule } from 'vitest/node';

/** A vitest reporter that says at the end, loudly, which tests did not run and why. A skipped test carries its reason as `[SKIPPED: reason]`. */
export class SkippedReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const byReason = new Map<string, string[]>();
    for (const module of modules)
      for (const test of module.children.allTests('skipped')) {
        const reason = REASON.exec(test.fullName)?.[1] ?? 'no reason given';
        byReason.set(reason, [...(byReason.get(reason) ?? []), `${module.relativeModuleId}: ${test.fullName.replace(REASON, '')}`]);
      }
    for (const [reason, tests] of byReason) {
      console.log(`\n*** SKIPPED, ${reason}: ${tests.length} test(s)`);
      for (const test of tests.slice(0, SHOWN)) console.log(`      ${test}`);
      if (tests.length > SHOWN) console.log(`      … and ${tests.length - SHOWN} more`);
    }
  }
}

const REASON = / ?\[SKIPPED: (.*?)\]/;
/** Tests named for each reason. */
const SHOWN = 10;
