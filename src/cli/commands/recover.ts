import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { CommandLine } from '../command-line.ts';
import { examples } from '../examples.ts';
import { EXIT } from '../exit-codes.ts';
import { withEngine } from '../session.ts';
