// Where varve-bd is reached unless it is told otherwise.

export const defaultBlockSocket = '/run/varve-bd/bd.sock';

/** The environment variable that names another one. */
export const blockSocketVariable = 'VARVE_BD_SOCKET';
