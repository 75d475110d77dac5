"""`python -m service.examples`: draw and synthesize the files of all examples anew, after a change of this package."""

from service.examples.catalogue import EXAMPLES, FOLDER, make_file


def main() -> None:
    """Write every example's file; they are part of the package."""
    FOLDER.mkdir(exist_ok=True)
    for example in EXAMPLES.values():
        make_file(example, example.path)
        print(example.path)


if __name__ == "__main__":
    main()
