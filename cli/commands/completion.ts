import { Argument, Command } from 'commander'
import { bashScript } from '../completion/bash.ts'
import { type CommandNode, commandTree } from '../completion/command-tree.ts'
import { fishScript } from '../completion/fish.ts'
import { zshScript } from '../completion/zsh.ts'
import { standardOutput } from '../log/output.ts'

const SCRIPTS: Readonly<Record<string, (tree: CommandNode) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript
}

const NOTES = `
The script knows the commands of this version: make it anew after an upgrade.

Examples:
  $ source <(fieldline completion bash)                                        this shell only
  $ fieldline completion bash | sudo tee /etc/bash_completion.d/fieldline
  $ fieldline completion zsh | sudo tee /usr/local/share/zsh/site-functions/_fieldline
  $ fieldline completion fish > ~/.config/fish/completions/fieldline.fish
`

/** `fieldline completion bash | zsh | fish`: what a shell offers when Tab is pressed. */
export function completionCommand(): Command {
  return new Command('completion')
    .description('print a script that completes commands and options in your shell')
    .addArgument(new Argument('<shell>', 'your shell').choices(Object.keys(SCRIPTS)))
    .addHelpText('after', NOTES)
    .action(async (shell: string) => {
      const { createProgram } = await import('../program.ts')
      const program = await createProgram(() => true)
      await standardOutput().write(SCRIPTS[shell](commandTree(program)))
    })
}
