/* host completion SHELL: from the tables of commands and options to what a shell completes. */
#include "base/exit.h"
#include "cli/command.h"
#include "cli/options.h"
#include "conf/keys.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char about[] =
    "Prints what makes a shell complete the commands, options and values of this program. `make\n"
    "install` puts it where bash, zsh and fish look for it.\n";

static const char example[] = "  source <(host completion bash)\n"
                              "  host completion zsh > ~/.zfunc/_host\n"
                              "  host completion fish > ~/.config/fish/completions/host.fish\n";

enum { WORDS_BYTES = 256 };

/* ---- what may stand somewhere -----------------------------------------------------------------
 */

enum place { PLACE_ANY, PLACE_FILE, PLACE_FOLDER, PLACE_WORDS };

/* "off|json" → "off json"; what is not in small letters is a placeholder, and no word. */
static void small_words(const char *arg, char words[WORDS_BYTES])
{
    size_t used = 0;
    for (const char *at = arg; *at; at += *at == '|') {
        size_t len = strcspn(at, "|");
        size_t small = strspn(at, "abcdefghijklmnopqrstuvwxyz-");
        if (small == len && used + len + 2 < WORDS_BYTES)
            used += (size_t)snprintf(words + used, WORDS_BYTES - used, "%s%.*s", used ? " " : "",
                                     (int)len, at);
        at += len;
    }
}

static bool has(const char *arg, const char *word)
{
    return strstr(arg, word) != NULL;
}

/* What a placeholder stands for: of an option's value, or of a command's operands. */
static enum place place_of(const char *arg, char words[WORDS_BYTES])
{
    words[0] = '\0';
    small_words(arg, words);
    if (words[0])
        return PLACE_WORDS;
    if (has(arg, "FILE") || has(arg, "PATH") || has(arg, "HANDLER"))
        return PLACE_FILE;
    return has(arg, "DIR") ? PLACE_FOLDER : PLACE_ANY;
}

static enum place value_of(const struct cli_option *o, char words[WORDS_BYTES])
{
    char flag[64];
    snprintf(flag, sizeof flag, "--%s", o->name);
    const struct conf_key *key = conf_key_by_flag(flag);
    if (!key || key->type != KEY_ENUM || strcmp(key->arg, o->arg) != 0)
        return place_of(o->arg, words);
    words[0] = '\0';
    for (int i = 0; key->names[i]; i++) {
        strncat(words, i ? " " : "", WORDS_BYTES - strlen(words) - 1);
        strncat(words, key->names[i], WORDS_BYTES - strlen(words) - 1);
    }
    return PLACE_WORDS;
}

/* Help as one of a shell's quoted strings; `special` gets a backslash. */
static void put_quoted(const char *text, const char *special)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr(special, *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

/* ---- bash ---------------------------------------------------------------------------------------
 */

static void bash_name(void *arg, const struct command *c, const struct cli_usage *u)
{
    (void)arg, (void)u;
    printf(" %s", c->name);
}

static void bash_kind(enum place place, const char *words)
{
    static const char *const kinds[] = {
        [PLACE_ANY] = "nothing", [PLACE_FILE] = "files", [PLACE_FOLDER] = "folders"};
    printf("kind='%s' ;;\n", place == PLACE_WORDS ? words : kinds[place]);
}

static void bash_values(void *arg, const struct command *c, const struct cli_usage *u)
{
    char words[WORDS_BYTES];
    (void)arg;
    for (const struct cli_option *o = u->options; o->name; o++) {
        if (!o->arg)
            continue;
        printf("        %s:--%s", c->name, o->name);
        if (o->letter)
            printf(" | %s:-%c", c->name, o->letter);
        fputs(") ", stdout);
        enum place place = value_of(o, words);
        bash_kind(place, words);
    }
}

static void bash_words(void *arg, const struct command *c, const struct cli_usage *u)
{
    char words[WORDS_BYTES] = "";
    (void)arg;
    printf("        %s:-*) kind='", c->name);
    for (const struct cli_option *o = u->options; o->name; o++)
        printf("--%s ", o->name);
    puts("--help' ;;");
    printf("        %s:*) ", c->name);
    enum place place = u->operands ? place_of(u->operands, words) : PLACE_ANY;
    bash_kind(place, words);
}

static void bash(const char *name)
{
    printf("# bash completion of %s\n_luahost()\n{\n", name);
    puts("    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} kind=\n"
         "    # --name=value comes as three words\n"
         "    if [[ $word == = ]]; then word=\n"
         "    elif [[ $before == = && $COMP_CWORD -gt 2 ]]; then "
         "before=${COMP_WORDS[COMP_CWORD-2]}; fi");
    fputs("    if [[ $COMP_CWORD -eq 1 ]]; then kind='help --help --version", stdout);
    command_each(bash_name, NULL);
    puts("'; fi\n    [[ $kind ]] || case ${COMP_WORDS[1]}:$before in");
    command_each(bash_values, NULL);
    puts("    esac\n    [[ $kind ]] || case ${COMP_WORDS[1]}:$word in");
    command_each(bash_words, NULL);
    fputs("        help:*) kind='", stdout);
    command_each(bash_name, NULL);
    puts("' ;;\n    esac\n"
         "    case $kind in\n"
         "        files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$word\") "
         ";;\n"
         "        folders) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$word\") "
         ";;\n"
         "        nothing | '') COMPREPLY=() ;;\n"
         "        *) mapfile -t COMPREPLY < <(compgen -W \"$kind\" -- \"$word\") ;;\n"
         "    esac\n}");
    printf("complete -F _luahost %s\n", name);
}

/* ---- zsh ----------------------------------------------------------------------------------------
 */

static const char zsh_special[] = "[]:\\";

static void zsh_name(void *arg, const struct command *c, const struct cli_usage *u)
{
    (void)arg, (void)u;
    printf("        '%s:", c->name);
    put_quoted(c->help, ":\\");
    puts("'");
}

static void zsh_action(const char *arg, enum place place, const char *words)
{
    putchar(':');
    put_quoted(arg, zsh_special);
    if (place == PLACE_WORDS)
        printf(":(%s)", words);
    else
        fputs(place == PLACE_FILE     ? ":_files"
              : place == PLACE_FOLDER ? ":_files -/"
                                      : ": ",
              stdout);
}

static void zsh_option(const struct cli_option *o)
{
    char words[WORDS_BYTES];
    if (o->letter)
        printf(" \\\n            '(-%c --%s)'{-%c%s,--%s%s}'[", o->letter, o->name, o->letter,
               o->arg ? "+" : "", o->name, o->arg ? "=" : "");
    else
        printf(" \\\n            '--%s%s[", o->name, o->arg ? "=" : "");
    put_quoted(o->help, zsh_special);
    putchar(']');
    if (o->arg) {
        enum place place = value_of(o, words);
        zsh_action(o->arg, place, words);
    }
    putchar('\'');
}

static void zsh_command(void *arg, const struct command *c, const struct cli_usage *u)
{
    char words[WORDS_BYTES];
    (void)arg;
    printf("        %s) _arguments -s", c->name);
    for (const struct cli_option *o = u->options; o->name; o++)
        zsh_option(o);
    fputs(" \\\n            '(-h --help)'{-h,--help}'[this text]'", stdout);
    if (u->operands) {
        enum place place = place_of(u->operands, words);
        fputs(" \\\n            '*", stdout);
        zsh_action(u->operands, place, words);
        putchar('\'');
    }
    puts(" ;;");
}

static void zsh(const char *name)
{
    printf("#compdef %s\n_luahost()\n{\n    local -a commands=(\n", name);
    command_each(zsh_name, NULL);
    puts("    )\n    if (( CURRENT == 2 )); then _describe command commands; return; fi\n"
         "    shift words; (( CURRENT-- ))\n    case $words[1] in");
    command_each(zsh_command, NULL);
    printf("        help) _describe command commands ;;\n    esac\n}\n"
           "if [[ $funcstack[1] == _%s ]]; then _luahost \"$@\"; else compdef _luahost %s; fi\n",
           name, name);
}

/* ---- fish ---------------------------------------------------------------------------------------
 */

/* -x keeps files out, which fish would offer beside the words. */
static void fish_place(enum place place, const char *words)
{
    if (place != PLACE_FILE)
        fputs(" -x", stdout);
    if (place == PLACE_FILE)
        fputs(" -F", stdout);
    else if (place == PLACE_FOLDER)
        fputs(" -a '(__fish_complete_directories)'", stdout);
    else if (place == PLACE_WORDS)
        printf(" -a '%s'", words);
}

static void fish_command(void *arg, const struct command *c, const struct cli_usage *u)
{
    const char *name = arg;
    char words[WORDS_BYTES];
    printf("complete -c %s -n __fish_use_subcommand -a %s -d '", name, c->name);
    put_quoted(c->help, "\\");
    puts("'");
    for (const struct cli_option *o = u->options; o->name; o++) {
        printf("complete -c %s -n '__fish_seen_subcommand_from %s' -l %s", name, c->name, o->name);
        if (o->letter)
            printf(" -s %c", o->letter);
        if (o->arg) {
            enum place place = value_of(o, words);
            fputs(" -r", stdout);
            fish_place(place, words);
        }
        fputs(" -d '", stdout);
        put_quoted(o->help, "\\");
        puts("'");
    }
    enum place place = u->operands ? place_of(u->operands, words) : PLACE_ANY;
    if (place == PLACE_ANY)
        return;
    printf("complete -c %s -n '__fish_seen_subcommand_from %s'", name, c->name);
    fish_place(place, words);
    puts("");
}

static void fish(const char *name)
{
    printf("# fish completion of %s\ncomplete -c %s -f\ncomplete -c %s -s h -l help -d 'help'\n",
           name, name, name);
    command_each(fish_command, (void *)name);
}

/* ---- the command --------------------------------------------------------------------------------
 */

static int check_name(const char *name, struct err *e)
{
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_-.", *c))
            return err_set(e, EXIT_USAGE, "--name %s: letters, digits, _ - and . make a name",
                           name);
    return 0;
}

static int print(const char *shell, const char *name, struct err *e)
{
    if (check_name(name, e) != 0)
        return -1;
    if (strcmp(shell, "bash") == 0)
        bash(name);
    else if (strcmp(shell, "zsh") == 0)
        zsh(name);
    else if (strcmp(shell, "fish") == 0)
        fish(name);
    else
        return err_set(e, EXIT_USAGE, "%s: it is one of bash, zsh, fish", shell);
    return EXIT_DONE;
}

int cmd_completion(int argc, char **argv)
{
    const char *shell, *name = "host";
    struct err e = {0};
    const struct cli_option options[] = {
        {.name = "name",
         .arg = "NAME",
         .value = &name,
         .help = "what this program is called where it is installed [host]"},
        {0},
    };
    const struct cli_usage usage = {.command = "completion",
                                    .operands = "bash|zsh|fish",
                                    .about = about,
                                    .example = example,
                                    .options = options,
                                    .operands_min = 1,
                                    .operands_max = 1};
    int n = cli_parse(&usage, argc, argv, &shell, &e);
    if (n < 0)
        return cli_end(&usage, n, &e);
    int rc = print(shell, name, &e);
    return rc < 0 ? cli_end(&usage, CLI_BAD, &e) : rc;
}
