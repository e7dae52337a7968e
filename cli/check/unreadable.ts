import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { systemCode } from '../../core/runtime/errors.ts'
import type { Details } from './finding.ts'

export interface UnreadableFile {
  file: string
  /** The system's. */
  error: unknown
  /** What to do when it is not a matter of rights. */
  otherwise?: string
  /** `group` takes it from nobody who reads it now; `owner` is for what is replaced with mode 0600. */
  give?: 'group' | 'owner'
}

/** Who may not read a file that the configuration names, and how to give them the right. */
export function whyUnreadable(unreadable: UnreadableFile): Pick<Details, 'why' | 'todo'> {
  const { file, error, give = 'group' } = unreadable
  const { otherwise = 'put the file there, readable by the user that the agent runs as' } =
    unreadable
  if (systemCode(error) !== 'EACCES') return { todo: otherwise }
  const user = userName()
  const closed = directoriesOf(file).find(directory => !mayEnter(directory))
  const command = closed
    ? groupCommand(user, closed, 'x')
    : give === 'owner'
      ? `chown ${user}: ${file} && chmod u+r ${file}`
      : groupCommand(user, file, 'r')
  return {
    why: closed ? `user ${user} may not enter ${closed}` : `user ${user} may not read it`,
    todo: `if the agent runs as ${user}, as root: ${command}; else run this check as the agent's user`
  }
}

/** Another group would take the right from whoever has it by this one; root needs none. */
function groupCommand(user: string, path: string, right: 'r' | 'x'): string {
  if (hasGroup(path, right === 'r' ? fs.constants.S_IRGRP : fs.constants.S_IXGRP)) {
    return `usermod -aG "$(stat -c %G ${path})" ${user}`
  }
  return `chgrp "$(id -gn ${user})" ${path} && chmod g+${right} ${path}`
}

function hasGroup(path: string, right: number): boolean {
  try {
    const { gid, mode } = fs.statSync(path)
    return gid !== 0 && (mode & right) !== 0
  } catch {
    return false
  }
}

function userName(): string {
  try {
    return os.userInfo().username
  } catch {
    // Without an entry in /etc/passwd, as in a container.
    return String(process.getuid?.())
  }
}

/** From the root down. */
function directoriesOf(file: string): string[] {
  const directory = path.dirname(path.resolve(file))
  const above = path.dirname(directory)
  return above === directory ? [directory] : [...directoriesOf(directory), directory]
}

function mayEnter(directory: string): boolean {
  try {
    fs.accessSync(directory, fs.constants.X_OK)
    return true
  } catch (error) {
    return systemCode(error) !== 'EACCES'
  }
}
