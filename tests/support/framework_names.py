#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run tests of a network framework and write a line for each that passed.

    framework_names.py twisted|tornado OUT NAME…

NAME is a module or a test, as `trial` and `unittest` take it. The framework's own report goes to standard
output. Exits 0 when the tests ran, whatever became of them.
"""
import sys


def run_twisted(names):
    from twisted.trial import reporter, runner

    passed = []

    class Names(reporter.TreeReporter):
        def addSuccess(self, test):
            super().addSuccess(test)
            passed.append(test.id())

    loader = runner.TestLoader()
    runner.TrialRunner(Names, workingDirectory="trial").run(loader.loadByNames(names, True))
    return passed


def run_tornado(names):
    import unittest

    from tornado.log import app_log
    from tornado.netutil import Resolver

    passed = []

    class Names(unittest.TextTestResult):
        def addSuccess(self, test):
            super().addSuccess(test)
            passed.append(test.id())

    app_log.propagate = False
    Resolver.configure("tornado.netutil.DefaultLoopResolver")
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    unittest.TextTestRunner(sys.stdout, resultclass=Names, verbosity=2).run(suite)
    return passed


def main():
    framework, out, *names = sys.argv[1:]
    passed = {"twisted": run_twisted, "tornado": run_tornado}[framework](names)
    with open(out, "w", encoding="utf-8") as f:
        f.write("".join(f"{name}\n" for name in sorted(set(passed))))


main()
