import { RootwrightError } from '../errors.ts';
import type { BackendAssessment } from './assess-backends.ts';
import type { BackendName } from './backend.ts';

/**
 * The backend to use: `forced` if given, else the first of overlay, aufs, copy of which everything needed is there. bind is never chosen by
 * itself, as it takes a single layer and is read-only. Fails with BACKEND_UNAVAILABLE; its message and `details.reasons` say what is missing.
 */
export function chooseBackend(assessments: readonly BackendAssessment[], forced?: BackendName): BackendName {
  if (forced !== undefined) {
    const reasons = missingOf(assessments, forced);
    if (reasons.length === 0) return forced;
    throw unavailable(`the backend ${forced} can't be used here`, reasons);
  }
  const chosen = BY_PREFERENCE.find((backend) => missingOf(assessments, backend).length === 0);
  if (chosen !== undefined) return chosen;
  throw unavailable(
    'no backend can be used here',
    BY_PREFERENCE.flatMap((backend) => missingOf(assessments, backend).map((reason) => `${backend}: ${reason}`)),
  );
}

const BY_PREFERENCE: readonly BackendName[] = ['overlay', 'aufs', 'copy'];

function missingOf(assessments: readonly BackendAssessment[], backend: BackendName): string[] {
  const rows = assessments.filter((row) => row.backend === backend);
  if (rows.length === 0) return [`there is no backend ${JSON.stringify(backend)}`];
  return rows.filter(({ ok }) => !ok).map(({ why, path }) => (path === undefined ? why : `${path}: ${why}`));
}

function unavailable(what: string, reasons: readonly string[]): RootwrightError {
  return new RootwrightError('BACKEND_UNAVAILABLE', `${what}: ${reasons.join('; ')}. \`rootwright doctor\` shows the whole table`, {
    details: { reasons },
  });
}
