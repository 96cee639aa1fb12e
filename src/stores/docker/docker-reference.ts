/**
 * The short form of a `[registry/]repository[:tag]` as docker shows it: without `docker.io/` and `library/`, with a tag (`latest` where
 * none is given). Names that differ only so mean the same image (MESOS-5009, MESOS-9675). undefined for what is no such reference;
 * a digest is none here, since archives know their images by tag.
 */
export function familiarReference(text: string): string | undefined {
  const slash = text.lastIndexOf('/');
  const colon = text.indexOf(':', slash + 1);
  const name = colon < 0 ? text : text.slice(0, colon);
  const tag = colon < 0 ? 'latest' : text.slice(colon + 1);
  if (!TAG.test(tag)) return undefined;
  const { registry, repository } = splitRegistry(name);
  if (!REPOSITORY.test(repository) || (registry !== '' && !REGISTRY.test(registry))) return undefined;
  return `${registry === '' ? '' : `${registry}/`}${repository}:${tag}`;
}

/** The first component is a registry where it could not be a repository's: it has '.' or ':', is 'localhost', or has capitals. */
function splitRegistry(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const hasRegistry = first === 'localhost' || /[.:A-Z]/.test(first);
  const registry = hasRegistry && first !== 'docker.io' && first !== 'index.docker.io' ? first : '';
  const repository = hasRegistry ? name.slice(slash + 1) : name;
  return { registry, repository: registry === '' && /^library\/[^/]+$/.test(repository) ? repository.slice('library/'.length) : repository };
}

// The grammar of the distribution project's reference package.
const TAG = /^\w[\w.-]{0,127}$/;
const COMPONENT = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const REPOSITORY = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`);
const REGISTRY = /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?$/;
