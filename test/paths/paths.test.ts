import { parseContainerId } from '../../src/paths/container-id.ts';
import { listContainers, scanContainers } from '../../src/paths/list-containers.ts';
import { listRootfses } from '../../src/paths/list-rootfses.ts';
import * as provisioner from '../../src/paths/provisioner.ts';
import { pathsConformance } from '../conformance/paths.ts';

pathsConformance({ ...provisioner, parseContainerId, listContainers, scanContainers, listRootfses });
