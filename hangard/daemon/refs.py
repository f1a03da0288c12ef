"""Handlers of branches, tags and HEAD, and of sessions that go back to a commit."""

from __future__ import annotations

from hangard.daemon.service import Service
from hangard.model.commit import Author
from hangard.repository.refs import Refs
from hangard.wire import refs
from hangard.wire.messages import Done, SessionState


class RefHandlers:
    """Each method answers one endpoint."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def create_branch(self, request: refs.CreateBranch) -> refs.Head:
        digest = await self._service.threads.control(
            self._refs.create_branch, request.name, request.commit, user=request.user
        )
        return refs.Head(branch=request.name, commit=digest or None)

    async def delete_branch(self, request: refs.DeleteBranch) -> refs.Head:
        digest = await self._service.threads.control(
            self._refs.delete_branch, request.name, force=request.force, user=request.user
        )
        return refs.Head(branch=request.name, commit=digest or None)

    async def rename_branch(self, request: refs.RenameBranch) -> refs.Head:
        digest = await self._service.threads.control(
            self._refs.rename_branch, request.old, request.new, user=request.user
        )
        return refs.Head(branch=request.new, commit=digest or None)

    async def reset_branch(self, request: refs.ResetBranch) -> refs.Head:
        digest = await self._service.threads.control(
            self._refs.reset_branch,
            request.branch,
            request.commit,
            request.revision,
            user=request.user,
        )
        return refs.Head(branch=request.branch, commit=digest)

    async def reset_session(self, request: refs.ResetSession) -> SessionState:
        """Behind everything accepted before; what of it failed is dropped like the rest."""
        pipeline = await self._service.find_pipeline(request.session)
        await pipeline.drain()
        async with pipeline.column_lock:
            pipeline.pop_failure()
            await self._service.threads.control(
                self._refs.reset_session,
                request.session,
                request.commit,
                request.revision,
                user=request.user,
            )
            session = self._service.repository.session(request.session)
            return await self._service.threads.control(self._service.describe, session, 0)

    async def set_head(self, request: refs.SetHead) -> refs.Head:
        await self._service.threads.control(self._refs.set_head, request.branch)
        return refs.Head(branch=request.branch)

    async def create_tag(self, request: refs.CreateTag) -> refs.TagState:
        tag = await self._service.threads.control(
            self._refs.create_tag,
            request.name,
            request.commit,
            Author(request.tagger_name, request.tagger_email),
            request.message,
        )
        return refs.TagState(name=tag.name, commit=tag.target, time_ns=tag.time_ns)

    async def delete_tag(self, request: refs.DeleteTag) -> Done:
        await self._service.threads.control(self._refs.delete_tag, request.name, user=request.user)
        return Done()

    @property
    def _refs(self) -> Refs:
        return self._service.repository.refs
