"""What the hooks of this folder share: phones in, answers out, settings beside the hook.

itld gives a hook one line a phone on its standard input, with tabs between device, model, site, address and user agent
("-" for what is not known), and takes "DEVICE<tab>ok|failed<tab>words" for each on its standard output.
"""

import configparser
import os
import stat
import sys


class Phone:
    def __init__(self, line):
        fields = line.rstrip("\n").split("\t")
        if len(fields) != 5:
            raise ValueError("a line of a phone has 5 fields, not %d" % len(fields))
        self.device = fields[0]
        self.model, self.site, self.address, self.user_agent = ("" if f == "-" else f for f in fields[1:])


def phones():
    return [Phone(line) for line in sys.stdin]


def answer(device, ok, words=""):
    """At once, so that what was done is known also when the hook is killed."""
    words = " ".join(str(words).split())
    sys.stdout.write("%s\t%s\t%s\n" % (device, "ok" if ok else "failed", words))
    sys.stdout.flush()


def give_up(words):
    """Before any phone was reset: all of them fail with these words in the log."""
    sys.exit("%s: %s" % (os.path.basename(sys.argv[0]), words))


def settings(section, defaults=None):
    """A section of the file HOOK.conf beside the hook (or where TRUSTLINE_HOOK_CONFIG says). It has passwords: nobody
    else may read it."""
    path = os.environ.get("TRUSTLINE_HOOK_CONFIG") or os.path.abspath(sys.argv[0]) + ".conf"
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    try:
        with open(path, encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & (stat.S_IRWXO | stat.S_IWGRP):
                give_up("%s may be read by everybody or written by its group: chmod 640" % path)
            parser.read_file(file)
    except OSError as error:
        give_up("cannot read its settings: %s" % error)
    except (configparser.Error, UnicodeDecodeError) as error:
        give_up("%s: %s" % (path, " ".join(str(error).split())))
    if not parser.has_section(section):
        give_up("%s has no section [%s]" % (path, section))
    known = dict(defaults or {})
    for key, value in parser.items(section):
        if key not in known:
            give_up("%s: [%s] knows no '%s', but %s" % (path, section, key, ", ".join(sorted(known))))
        known[key] = value
    missing = [key for key, value in known.items() if value is None]
    if missing:
        give_up("%s: [%s] lacks %s" % (path, section, ", ".join(missing)))
    return known


def number(values, key, least, most):
    try:
        value = float(values[key])
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        give_up("%s is a number from %s to %s, not '%s'" % (key, least, most, values[key]))
    return value


def is_yes(values, key):
    if values[key] not in ("yes", "no"):
        give_up("%s is yes or no, not '%s'" % (key, values[key]))
    return values[key] == "yes"


def is_loopback(host):
    return host in ("localhost", "::1") or host.startswith("127.")
