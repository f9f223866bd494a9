"""make demo: sets the stage, plays the story, clears up.  See demo.sh."""

import os
import shutil
import signal
import sys
import time

import doors
import officer
import stage
import story
from play import Play, Wrong
from screen import Screen

KEPT = ("facilities.conf", "facilities.old.conf", "broken.conf", "policy.img",
        "policy.img.history", "nginx.conf", "error.log", "access.log",
        "slice.png", "sekishod.conf", "sekishod.log", "trail.key.pub",
        "kept-checkpoint", "proof", "report.html", "patient.html",
        "evidence.tar", "audit.db")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """Ctrl-C, or told to end."""


def stop(number, _frame):
    raise Stopped(number)


def introduce(play, seconds):
    screen = play.screen
    images = sum(len(series["instances"]) for study in play.studies
                 for series in study["series"])
    screen.title("Sekisho: a checkpoint in front of a web PACS that stays as "
                 "it is")
    screen.field("PACS", "Orthanc %s with DICOMweb, %d studies, %d images "
                 "(made up here)" % (play.orthanc.version, len(play.studies),
                                     images))
    screen.field("gate", "nginx %s with the modules facility and audit, TLS, "
                 "https://127.0.0.1:%d" % (play.nginx.version(),
                                           play.nginx.port))
    screen.field("trail", "sekishod records each access before an image "
                 "leaves; an access is over after 2 s here, for this story")
    screen.field("policy", "facilities.conf: facilities are the loopback "
                 "addresses 127.0.10.x, their terminals have certificates")
    screen.field("", "set up in %.1f s" % seconds, "dim")


def stay(play):
    screen = play.screen
    port = play.nginx.port
    folder = play.folder
    screen.line()
    screen.title("It stays up until Ctrl-C.  To try it yourself:")
    screen.text("Orthanc's own pages, through the gate, with a browser on "
                "this machine:")
    screen.line("        https://127.0.0.1:%d/app/explorer.html" % port)
    screen.text("Refused at first: your desk is a facility whose terminals "
                "need a certificate.  For Chromium and Chrome (certutil "
                "comes with libnss3-tools):")
    screen.line("        mkdir -p $HOME/.pki/nssdb")
    screen.line("        pk12util -d sql:$HOME/.pki/nssdb -W demo -i "
                "%s/your-desk.p12" % folder)
    screen.line("        certutil -d sql:$HOME/.pki/nssdb -A -t C,, "
                "-n sekisho-demo -i %s/gate-ca.pem" % folder)
    screen.text("In Firefox import both files under Settings, Certificates; "
                "the password is demo.  Then restart the browser.")
    screen.text("As a facility, with curl:")
    screen.line("        curl --cacert %s/gate-ca.pem --interface 127.0.10.1 \\"
                % folder)
    screen.line("             --cert %s --key %s \\" % (
        play.aoba.certificate.pem, play.aoba.certificate.key))
    screen.line("             https://127.0.0.1:%d/studies" % port)
    screen.text("Change the policy, apply it, and ask again:")
    screen.line("        $EDITOR %s" % play.policy)
    screen.line("        %s policy apply %s \\" % (stage.SEKISHO, play.policy))
    screen.line("             --image %s \\" % play.image)
    screen.line("             --config %s" % play.sekishod.config)
    screen.text("Watch the trail grow:")
    screen.line("        %s audit tail -f --config %s" % (
        stage.SEKISHO, play.sekishod.config))
    screen.text("Watch: tail -f %s/error.log" % folder)
    while True:
        time.sleep(1)
        for part, process in (("nginx", play.nginx.process),
                              ("sekishod", play.sekishod.process),
                              ("Orthanc", play.orthanc.process)):
            if not process.alive():
                raise stage.StageError("%s has ended" % part)


def keep(play, target):
    os.makedirs(target, exist_ok=True)
    for name in KEPT:
        path = os.path.join(play.folder, name)
        if os.path.exists(path):
            shutil.copy(path, target)
    # Its daemon has ended: it is whole, and sealed to the last record.
    trail = os.path.join(target, "trail")
    if os.path.exists(trail):
        shutil.rmtree(trail)
    if os.path.exists(play.sekishod.trail):
        shutil.copytree(play.sekishod.trail, trail)
    stage.write(os.path.join(target, "transcript.txt"),
                "\n".join(play.screen.transcript) + "\n")


def tell_kept(screen, target):
    screen.line("Kept in %s." % target)
    if not os.path.exists(os.path.join(target, "kept-checkpoint")):
        return  # it did not come so far
    screen.line("To verify the trail there, and to read it:")
    screen.line("    %s audit verify --trail %s/trail \\" % (stage.SEKISHO,
                                                           target))
    screen.line("        --key %s/trail.key.pub --checkpoint %s/"
                "kept-checkpoint" % (target, target))
    screen.line("    %s audit tail --trail %s/trail" % (stage.SEKISHO, target))


def perform(play):
    screen = play.screen
    start = time.monotonic()
    play.set_up()
    introduce(play, time.monotonic() - start)
    steps = story.STORY + doors.STEPS + officer.STEPS
    for number, step in enumerate(steps, 1):
        play.number = number
        screen.step(number, step.__doc__)
        step(play)
    screen.line()
    screen.title("All %d steps came out as they should, in %.1f s." % (
        len(steps), time.monotonic() - start))


def main():
    screen = Screen()
    play = folder = None
    status = 1
    for number in SIGNALS:
        signal.signal(number, stop)
    try:
        folder = stage.scratch_folder("sekisho-demo.")
        play = Play(folder, screen)
        perform(play)
        status = 0
        if os.environ.get("STAY") not in (None, "", "0", "no"):
            stay(play)
    except Stopped as stopped:
        # Ctrl-C is how STAY=1 is meant to end.
        if status != 0:
            status = 128 + stopped.args[0]
        screen.line()
    except Wrong as wrong:
        screen.line()
        screen.line(screen.paint("WRONG in step %d: %s" % (
            play.number, wrong), "red", "bold"))
        status = 1
    except stage.StageError as error:
        screen.line()
        screen.line(screen.paint("demo: %s" % error, "red", "bold"))
        status = 1
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if play:
            play.close()
            target = os.environ.get("KEEP")
            if target and play.sekishod:
                keep(play, target)
                tell_kept(screen, target)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
