"""Routes of the examples: sounds and images that the service makes itself, for those who have none at hand."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel

from service.api.descriptions import EXAMPLE_FILE, PROBLEMS
from service.errors import ExampleNotFound
from service.examples.catalogue import EXAMPLES, PREFIX, Example, ExampleField

router = APIRouter(tags=["examples"], responses={404: PROBLEMS[404], 422: PROBLEMS[422]})

_KEPT_SECONDS: Final = 3600


class ExampleDocument(BaseModel):
    """An example. id: names it in a request, as `image_id` or `audio_id`. scene: as which a sound is heard."""

    id: str
    title: str
    usable_as: str
    scene: str | None
    file_name: str
    media_type: str
    url: str


class Examples(BaseModel):
    """The example images and sounds, each in the order in which to show them."""

    images: list[ExampleDocument]
    sounds: list[ExampleDocument]


@router.get("/examples")
async def list_examples(request: Request) -> Examples:
    """List images and sounds to try the service with; each can be named by its id in place of a file."""
    root = request.scope.get("root_path", "")

    def documents(field: ExampleField) -> list[ExampleDocument]:
        return [_document(example, root) for example in EXAMPLES.values() if example.field == field]

    return Examples(images=documents("image"), sounds=documents("audio"))


@router.get("/examples/{file_name}", response_class=FileResponse, **EXAMPLE_FILE)
async def read_example(
    file_name: Annotated[str, Path(description="the `file_name` of an example", max_length=64)],
) -> FileResponse:
    """Fetch the file of one example."""
    example = next((one for one in EXAMPLES.values() if one.file_name == file_name), None)
    if example is None:
        raise ExampleNotFound(f"there is no example {file_name!r}; GET /examples lists them")
    headers = {"Cache-Control": f"public, max-age={_KEPT_SECONDS}", "X-Content-Type-Options": "nosniff"}
    return FileResponse(
        example.path,
        media_type=example.media_type,
        filename=example.file_name,
        content_disposition_type="inline",
        headers=headers,
    )


def _document(example: Example, root_path: str) -> ExampleDocument:
    return ExampleDocument(
        id=f"{PREFIX}{example.name}",
        title=example.title,
        usable_as=f"{example.field}_id",
        scene=example.scene,
        file_name=example.file_name,
        media_type=example.media_type,
        url=f"{root_path}/examples/{example.file_name}",
    )
