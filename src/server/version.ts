// The version of this program, from its package.
import packageDescription from '../../package.json' with { type: 'json' };

/** The version of varve. */
export const version: string = packageDescription.version;
